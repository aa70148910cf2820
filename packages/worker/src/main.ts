/** The executable of the built-in backends. Which one it is comes in the host's hello, and only that one is loaded. */
import type { Backend } from './backend.js';
import { WorkerFault } from './protocol/index.js';
import { serve } from './serve.js';

serve(chooseBackend);

async function chooseBackend({ backend }: Record<string, unknown>): Promise<Backend | URL> {
  switch (backend) {
    case 'identity':
      return (await import('./backends/identity.js')).identity;
    case 'onnx':
      return new URL('./backends/onnx/backend.js', import.meta.url);
    default:
      throw new WorkerFault(
        'CONFIG_INVALID',
        `there is no backend ${JSON.stringify(backend)}; use "onnx" or "identity"`,
      );
  }
}
