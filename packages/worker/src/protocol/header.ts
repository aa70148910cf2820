/**
 * The 24 bytes before every message, little-endian:
 *
 *     0 magic "SVW1" | 4 u8 type | 5 u8 flags = 0 | 6 u16 reserved = 0 | 8 u32 id | 12 u32 meta bytes | 16 u64 payload bytes
 */
import { ProtocolError } from './errors.js';
import { MAX_CONTROL_BYTES } from './limits.js';
import { HOST_TYPES, WORKER_TYPES } from './messages.js';

export const HEADER_BYTES = 24;
export const MAGIC = new Uint8Array([0x53, 0x56, 0x57, 0x31]);
const MAX_TEXT_SHOWN_BYTES = 200;
const U32 = 0x1_0000_0000;

export interface Header {
  type: number;
  id: number;
  metaBytes: number;
  payloadBytes: number;
}

export function pad8(bytes: number): number {
  // Not a bit operation: those are 32-bit, and frames may be larger than 2 GiB.
  return Math.ceil(bytes / 8) * 8;
}

/** Bytes that follow the header: meta with its padding, then the payload. */
export function bodyBytes({ metaBytes, payloadBytes }: Header): number {
  return pad8(metaBytes) + payloadBytes;
}

export function writeHeader(into: Uint8Array, header: Header): void {
  const view = new DataView(into.buffer, into.byteOffset, HEADER_BYTES);
  into.set(MAGIC, 0);
  view.setUint8(4, header.type);
  view.setUint8(5, 0);
  view.setUint16(6, 0, true);
  view.setUint32(8, header.id, true);
  view.setUint32(12, header.metaBytes, true);
  view.setUint32(16, header.payloadBytes % U32, true);
  view.setUint32(20, Math.floor(header.payloadBytes / U32), true);
}

/**
 * Reads a whole header and refuses everything that is not exactly one: nothing is allocated for a frame before this.
 *
 * @param senderIs whose frames these are; the other side's types are refused.
 */
export function readHeader(
  bytes: Uint8Array,
  senderIs: 'host' | 'worker',
  limits: { maxFrameBytes: number },
): Header {
  checkMagic(bytes, bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const type = view.getUint8(4);
  const header: Header = {
    type,
    id: view.getUint32(8, true),
    metaBytes: view.getUint32(12, true),
    payloadBytes: view.getUint32(16, true) + view.getUint32(20, true) * U32,
  };
  if (view.getUint8(5) !== 0 || view.getUint16(6, true) !== 0) {
    throw new ProtocolError(
      'BAD_HEADER',
      `flags and reserved bytes of a frame must be 0 in this version, found ${hex(bytes.subarray(5, 8))}`,
    );
  }
  const known: number[] = Object.values(senderIs === 'host' ? HOST_TYPES : WORKER_TYPES);
  if (!known.includes(type)) {
    throw new ProtocolError(
      'BAD_HEADER',
      `0x${type.toString(16)} is not a message type that a ${senderIs} sends`,
    );
  }
  const frameBytes = HEADER_BYTES + bodyBytes(header);
  if (frameBytes > limits.maxFrameBytes) {
    throw new ProtocolError(
      'FRAME_TOO_LARGE',
      `a frame announces ${frameBytes} bytes, above the limit of ${limits.maxFrameBytes} (max_frame_bytes)`,
    );
  }
  const tensors = type === HOST_TYPES.infer || type === WORKER_TYPES.result;
  if (!tensors && (header.payloadBytes !== 0 || header.metaBytes > MAX_CONTROL_BYTES)) {
    throw new ProtocolError(
      'BAD_HEADER',
      `a control message (type 0x${type.toString(16)}) has no payload and at most ${MAX_CONTROL_BYTES} bytes of JSON, ` +
        `found ${header.payloadBytes} and ${header.metaBytes}`,
    );
  }
  return header;
}

/**
 * Compares as many bytes as there are with the magic, so that stray text is refused at its first byte.
 *
 * @param shown what to show a person when it is not a frame.
 */
export function checkMagic(start: Uint8Array, shown: Uint8Array): void {
  for (let i = 0; i < MAGIC.length && i < start.length; i++) {
    if (start[i] === MAGIC[i]) continue;
    throw new ProtocolError(
      'BAD_MAGIC',
      `expected a frame, found ${shown.length > MAX_TEXT_SHOWN_BYTES ? 'bytes that begin with ' : ''}"${printable(shown)}"; ` +
        'only frames may be written to this stream, text belongs on stderr',
    );
  }
}

/** The first 200 bytes as ASCII; control characters and everything above it escaped. */
function printable(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes.subarray(0, MAX_TEXT_SHOWN_BYTES)) {
    if (byte === 0x0a) text += '\\n';
    else if (byte === 0x0d) text += '\\r';
    else if (byte === 0x09) text += '\\t';
    else if (byte === 0x5c) text += '\\\\';
    else if (byte === 0x22) text += '\\"';
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
