import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32, inflateSync } from 'node:zlib';
import { drawTextLine } from './draw.js';
import { encodePng } from './png.js';

test('a PNG holds the picture, row by row, with right checksums', () => {
  const picture = drawTextLine('PNG', { height: 20, ink: [1, 2, 3], paper: [200, 100, 50] });
  const png = encodePng(picture);
  assert.equal(png.subarray(0, 8).toString('latin1'), '\x89PNG\r\n\x1a\n');
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const body = png.subarray(at + 4, at + 8 + length);
    assert.equal(png.readUInt32BE(at + 8 + length), crc32(body));
    chunks.set(body.subarray(0, 4).toString('latin1'), body.subarray(4));
    at += 12 + length;
  }
  assert.deepEqual([...chunks.keys()], ['IHDR', 'IDAT', 'IEND']);
  assert.equal(chunks.get('IHDR')?.readUInt32BE(0), picture.width);
  assert.equal(chunks.get('IHDR')?.readUInt32BE(4), 20);
  const rows = inflateSync(chunks.get('IDAT') ?? Buffer.alloc(0));
  const stride = 1 + picture.width * 3;
  assert.equal(rows.length, 20 * stride);
  for (let row = 0; row < 20; row++) {
    assert.equal(rows[row * stride], 0);
    const pixels = picture.rgb.subarray(row * picture.width * 3, (row + 1) * picture.width * 3);
    assert.deepEqual(new Uint8Array(rows.subarray(row * stride + 1, (row + 1) * stride)), pixels);
  }
});
