import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { checkPackaging } from './packaging/check.js'

/** Checks what needs no Docker engine: that the files of the packaging agree with each other and with the project. */
const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

const problems = checkPackaging({
  exists: (path) => existsSync(at(path)),
  read: (path) => (existsSync(at(path)) ? readFileSync(at(path), 'utf8') : null),
})
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
else console.log('Dockerfile, compose.yaml and deploy/ agree with the project')
