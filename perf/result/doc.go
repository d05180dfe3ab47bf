// Package result is what a run of the perf lab leaves behind: a file of JSON
// lines, perf/results/<run>.jsonl, that a later run goes on with and that tables
// and plots are made of. It measures nothing and judges nothing.
//
// Each line is an object with one field. The first has "run", a Run. Then come
// "measure", a Measure, for each turn that is over, and "conditions", what was
// found out about the run on the way. A Writer appends a line by one write(2) and
// so never leaves one that is torn, unless the machine stops; Read and Append then
// drop it.
//
// What a Measure has values of is listed in Figures: a name ends in its unit, has
// one meaning in all workloads, and is never used again for another one.
package result
