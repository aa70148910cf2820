/** `grpc.health.v1.Health`. */
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { readHealthRequest, writeHealth, writeHealthList, type ServingStatus } from '../codec/health.js';
import { readEmpty } from '../codec/inference.js';
import { ServerError } from '../errors.js';
import type { Health } from '../health.js';
import { answerWith, statusOf, type Log } from './answer.js';
import { bytesMethod, type BytesMethod } from './transport.js';

const PATH = '/grpc.health.v1.Health';

export const HEALTH_SERVICE = {
  Check: bytesMethod(`${PATH}/Check`),
  List: bytesMethod(`${PATH}/List`),
  Watch: bytesMethod(`${PATH}/Watch`, { response: true }),
} as const satisfies Record<string, BytesMethod>;

/** `closing`: aborts when open watches must end. */
export function healthHandlers(health: Health, log: Log, closing: AbortSignal): UntypedServiceImplementation {
  const check: handleUnaryCall<Buffer, Buffer> = (call, callback) =>
    answerWith(callback, log, () => {
      const service = readHealthRequest(call.request);
      const status = health.status(service);
      if (status === 'SERVICE_UNKNOWN') {
        throw new ServerError(
          'MODEL_NOT_FOUND',
          `there is no service "${service}"; ask for "" (the server) or for a model by its name`,
        );
      }
      return writeHealth(status);
    });
  const list: handleUnaryCall<Buffer, Buffer> = (call, callback) =>
    answerWith(callback, log, () => {
      readEmpty(call.request);
      return writeHealthList(health.all());
    });
  const watch: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    try {
      streamStatus(call, health, readHealthRequest(call.request), closing);
    } catch (thrown) {
      call.emit('error', statusOf(thrown, log));
    }
  };
  return { Check: check, List: list, Watch: watch };
}

function streamStatus(
  call: ServerWritableStream<Buffer, Buffer>,
  health: Health,
  service: string,
  closing: AbortSignal,
): void {
  // A reader that is slow gets the newest status when it has room, not every one in between.
  let waiting: ServingStatus | undefined;
  let hasRoom = true;
  const send = (status: ServingStatus) => {
    if (hasRoom) hasRoom = call.write(writeHealth(status));
    else waiting = status;
  };
  call.on('drain', () => {
    hasRoom = true;
    if (waiting === undefined) return;
    const status = waiting;
    waiting = undefined;
    send(status);
  });
  const unwatch = health.watch(service, send);
  const end = () => {
    unwatch();
    call.emit(
      'error',
      statusOf(new ServerError('SERVER_STOPPED', 'the server stopped'), () => undefined),
    );
  };
  closing.addEventListener('abort', end, { once: true });
  call.on('cancelled', () => {
    unwatch();
    closing.removeEventListener('abort', end);
  });
}
