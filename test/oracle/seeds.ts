/** The runs of every test run. Those by processes first: they take longest. */
export const SEEDS = [10, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22]
