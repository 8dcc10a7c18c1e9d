#!/usr/bin/env -S node --max-semi-space-size=32 --heap-growing-percent=100
// Checked before anything else is loaded: on an older Node the imports themselves crash.
// Written so that an old Node can read it.
var MINIMUM = [22, 19]
var parts = process.versions.node.split('.').map(Number)

if (parts[0] < MINIMUM[0] || (parts[0] === MINIMUM[0] && parts[1] < MINIMUM[1])) {
  console.error(
    'aquifer needs Node.js ' +
      MINIMUM.join('.') +
      ' or newer; this is ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ')',
  )
  process.exitCode = 2
} else {
  import('../dist/src/cli/main.js').then(
    (cli) => cli.main(process.argv),
    (error) => {
      if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/dist.src.cli.main/.test(error.message)) throw error
      console.error('aquifer is not built yet: run "npm run build" first')
      process.exitCode = 2
    },
  )
}
