// A worker of your own in thirty lines: a model that multiplies every number by a factor.
// experiments/04_custom_worker.yaml starts it. Other languages: docs/protocol.md.
import { serve } from '@supervisor/worker';

serve({
  /** `config` is what the experiment file says under `config:`. */
  async load({ config, progress, log }) {
    const { factor = 2 } = config;
    progress('reading nothing', 1, 1, 'steps');
    // Goes to this worker's log, like everything printed: stdout belongs to the supervisor.
    log('info', `the factor is ${factor}`);

    return {
      metadata: {
        platform: 'example',
        // -1 stands for any size; the first dimension is the batch, because maxBatchSize is not 0.
        inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 4] }],
        maxBatchSize: 16,
      },
      device: 'cpu',

      /** Names, shapes and byte counts were checked before. */
      async infer([x]) {
        const numbers = new Float32Array(x.data.buffer, x.data.byteOffset, x.data.byteLength / 4);
        const scaled = numbers.map((number) => number * factor);
        const data = new Uint8Array(scaled.buffer);
        return { outputs: [{ name: 'y', datatype: 'FP32', shape: x.shape, data }] };
      },
    };
  },
});
