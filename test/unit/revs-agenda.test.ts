import { expect, test } from 'vitest'
import { RevsAgenda } from '../../src/engine/revs-agenda.js'

/** The seconds of a turn in which there is a look, of one each second. */
function looks(agenda: RevsAgenda, jobsAt: (second: number) => number[], seconds = 60): number[] {
  return Array.from({ length: seconds }, (_, second) => second).filter((second) => {
    const jobs = jobsAt(second)
    if (!agenda.isDue(jobs, second * 1_000)) return false
    agenda.looked(jobs, second * 1_000)
    return true
  })
}

test('there is a look for a job at once, soon again, and then seldom', () => {
  expect(looks(new RevsAgenda(), () => [7])).toEqual([0, 1, 3, 7, 15, 31])
  expect(looks(new RevsAgenda(), () => [7], 200).slice(-3)).toEqual([121, 151, 181])
})

test('a job that comes later is looked after as soon', () => {
  expect(looks(new RevsAgenda(), (second) => (second < 20 ? [7] : [7, 8]))).toEqual([
    0, 1, 3, 7, 15, 20, 21, 23, 27, 35, 51,
  ])
})

test('where nobody wants anything there is none', () => {
  expect(looks(new RevsAgenda(), (second) => (second < 5 ? [] : [7]), 8)).toEqual([5, 6])
})
