/** The experiment runner: a client that drives load over gRPC and reports, and text lines to drive it with. */
export { BenchError, type BenchErrorCode } from './bench-error.js';
export type { Endpoint } from './client.js';
export { driveExperiment, type DriveOptions, type ExperimentResults } from './drive-experiment.js';
export type { InputsConfig } from './inputs/requests.js';
export { DEFAULT_TEXTS } from './inputs/text-lines.js';
export {
  runLoad,
  type CellResult,
  type LoadOptions,
  type LoadProgress,
  type LoadResults,
  type Measurement,
} from './load.js';
export { drawTextLine, type DrawOptions, type Picture } from './ocr/draw.js';
export { encodePng } from './ocr/png.js';
export { readPictures, type ReadOptions } from './ocr/read-pictures.js';
export { Alphabet, type RecognizedText } from './ocr/recognition.js';
export type { LatencySummary } from './percentiles.js';
export { formatCells, formatMarkdown } from './report.js';
export { writeResults } from './results-files.js';
