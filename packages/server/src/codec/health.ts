/** Messages of the gRPC health protocol. Defined in proto/health.proto. */
import { WIRE_BYTES, WireReader, WireWriter } from './wire.js';

export type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

const NUMBER: Record<ServingStatus, number> = { SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 };

/** Name of the service asked about; '' is the whole server. Throws `WireError`. */
export function readHealthRequest(message: Uint8Array): string {
  const reader = new WireReader(message);
  let service = '';
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) {
      reader.expect(WIRE_BYTES);
      service = reader.string();
    } else reader.skip();
  }
  return service;
}

export function writeHealth(status: ServingStatus): Buffer {
  const writer = new WireWriter(2);
  writer.enumeration(1, NUMBER[status]);
  return writer.finish();
}

export function writeHealthList(
  statuses: Iterable<readonly [service: string, status: ServingStatus]>,
): Buffer {
  const writer = new WireWriter();
  for (const [service, status] of statuses) {
    writer.message(1, () => {
      writer.string(1, service);
      writer.bytesAt(2, writeHealth(status));
    });
  }
  return writer.finish();
}
