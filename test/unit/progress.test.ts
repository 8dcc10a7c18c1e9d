import { expect, describe as group, it } from 'vitest'
import { describe, describeRecords, type Progress, ProgressLine, progressOf } from '../../src/cli/progress.js'

const START: Progress = {
  discoveryComplete: true,
  total: 1_000,
  processed: 0,
  unavailable: 0,
  failed: 0,
  records: 0,
}

/** What goes before a line that is rewritten in place. */
const CLEAR = '\r\u001b[2K'

/** A stream that keeps what it is given. */
function screen(isTTY: boolean, columns?: number) {
  const written: string[] = []
  const out = {
    isTTY,
    columns,
    write: (text: string) => written.push(text) > 0,
  } as unknown as NodeJS.WriteStream
  return { written, line: new ProgressLine(out) }
}

group('one line of progress', () => {
  const line = (change: Partial<Progress>, rate = 0, columns: number | null = null) =>
    describe({ ...START, ...change }, rate, columns)

  it('has a share, counts, the time that is left and the rate', () => {
    const half = { processed: 500, records: 1_234_567 }
    const text = '50%  500/1,000 repos  1,234,567 records  1 s left  2,000 repos/s'
    expect(line(half, 2_000.4)).toBe(text)
    expect(line(half, 2_000.4, 200)).toBe(`[############------------]  ${text}`)
  })

  it('begins and ends', () => {
    expect(line({}, 0, 200)).toBe('[------------------------]  0%  0/1,000 repos  0 records')
    expect(line({ processed: 999 }, 0, 200)).toMatch(/^\[#{23}-] {2}99% /)
    expect(line({ processed: 1_000, records: 1 }, 10, 200)).toBe(
      `[${'#'.repeat(24)}]  100%  1,000/1,000 repos  1 record  10 repos/s`,
    )
    expect(line({ total: 0 })).toBe('0/0 repos  0 records')
  })

  it('says what did not work, and what the job does instead of running', () => {
    expect(line({ unavailable: 1_001, failed: 2 })).toBe(
      '0%  0/1,000 repos  0 records  2 failed  1,001 unavailable',
    )
    expect(line({ status: 'paused', processed: 1 }, 10)).toBe(
      '0%  1/1,000 repos  0 records  paused  10 repos/s',
    )
  })

  it('makes no promises while more repos may come', () => {
    const discovering = { discoveryComplete: false, processed: 500 }
    expect(line(discovering, 10)).toBe('500/1,000+ repos  0 records  discovering  10 repos/s')
    expect(line(discovering, 10, 200)).toMatch(/^\[-{24}] {2}500/)
  })

  it.each([
    [1, '1 s'],
    [59, '59 s'],
    [59.5, '1 min'],
    [61, '2 min'],
    [59 * 60, '59 min'],
    [59.5 * 60, '1 h 0 min'],
    [7_190, '2 h 0 min'],
    [3_601, '1 h 1 min'],
    [100 * 3_600, '100 h 0 min'],
  ])('tells %d s as %s', (seconds, words) => {
    expect(line({ total: 1 }, 1 / seconds)).toContain(`  ${words} left  `)
  })

  it('does not look like standing still when it is slow', () => {
    expect([0.04, 0.05, 9.94, 9.96].map((rate) => /\S+ (?=repos\/s)/.exec(line({}, rate))?.[0])).toEqual([
      ...['0.0 ', '0.1 ', '9.9 ', '10 '],
    ])
  })

  it('fits any width, and keeps the repos longest', () => {
    const full = { processed: 123, records: 1_234_567, failed: 12, unavailable: 1_001 }
    const lines = Array.from({ length: 121 }, (_, columns) => line(full, 20, columns))
    expect(lines.filter((text, columns) => text.length > columns)).toEqual([])
    expect(lines.slice(21).filter((text) => !text.includes('123/1,000 repos'))).toEqual([])
    expect(lines.at(-1)).toContain('[##')
  })

  it('of a download has its total where that is known', () => {
    expect(describeRecords(500, null, 0, null)).toBe('500 records')
    expect(describeRecords(500, 1_000, 100, null)).toBe('50%  500/1,000 records  5 s left  100 records/s')
    expect(describeRecords(0, 0, 0, null)).toBe('0/0 records')
  })
})

group('on a terminal', () => {
  it('is rewritten in place, five times a second at most, within its width', () => {
    const { written, line } = screen(true, 30)
    for (let ms = 0; ms < 1_000; ms += 50) line.show({ ...START, processed: ms }, 1_000_000 + ms)
    expect(written).toHaveLength(5)
    for (const text of written) {
      expect(text.startsWith(CLEAR)).toBe(true)
      expect(text).not.toContain('\n')
      expect(text.length - CLEAR.length).toBeLessThan(30)
    }
    line.clear()
    expect(written.at(-1)).toBe(CLEAR)
    line.clear()
    expect(written).toHaveLength(6)
  })

  it('takes 80 columns for granted where the width is unknown', () => {
    const { written, line } = screen(true)
    line.show({ ...START, unavailable: 1_000_000, failed: 1_000_000, records: 1_000_000_000_000 }, 0)
    expect(written[0]!.length - CLEAR.length).toBeGreaterThan(40)
    expect(written[0]!.length - CLEAR.length).toBeLessThan(80)
  })
})

group('elsewhere', () => {
  it('is a line every five seconds', () => {
    const { written, line } = screen(false)
    for (let ms = 0; ms <= 12_000; ms += 200) line.show(START, ms)
    expect(written).toHaveLength(3)
    for (const text of written) expect(text).toMatch(/^0% [^\r\n]+\n$/)
    line.clear()
    expect(written).toHaveLength(3)
  })

  it('says the rate of the last fifteen seconds, not that of all time', () => {
    const { written, line } = screen(false)
    for (let second = 0; second <= 60; second += 1) {
      line.show({ ...START, processed: second < 40 ? second : 40 + (second - 40) * 10 }, second * 1_000)
    }
    const rates = written.map((text) => Number(/(\S+) repos\/s/.exec(text)?.[1] ?? 0))
    expect(rates).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 4, 7, 10, 10])
  })

  it('counts from where an earlier run stopped', () => {
    const { written, line } = screen(false)
    line.show({ ...START, processed: 900 }, 0)
    line.show({ ...START, processed: 950 }, 5_000)
    expect(written).toEqual([
      '90%  900/1,000 repos  0 records\n',
      '95%  950/1,000 repos  0 records  5 s left  10 repos/s\n',
    ])
  })
})

it('progress is what the job has come to', () => {
  const job = { status: 'paused', totalRepos: 6, processedRepos: 5, unavailableRepos: 2, failedRepos: 1 }
  expect(progressOf({ ...job, totalRecords: 9 })).toEqual({
    ...{
      status: 'paused',
      discoveryComplete: false,
      total: 6,
      processed: 5,
      unavailable: 2,
      failed: 1,
      records: 9,
    },
  })
  expect(progressOf({ ...job, totalRecords: 9, discoveryComplete: true }).discoveryComplete).toBe(true)
})
