import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgress } from './progress.js';

class Screen {
  readonly isTTY: boolean;
  readonly rows: number;
  readonly columns: number;
  written = '';

  constructor(isTTY: boolean, rows = 24, columns = 66) {
    this.isTTY = isTTY;
    this.rows = rows;
    this.columns = columns;
  }

  write(text: string): void {
    this.written += text;
  }

  /** What a terminal would show: moving up and clearing below are the only codes used for drawing. */
  shown(): string[] {
    let lines: string[] = [''];
    for (const part of this.written.split(/(\x1b\[\d+A\x1b\[0J|\n)/)) {
      const up = /^\x1b\[(\d+)A/.exec(part);
      if (up) lines = [...lines.slice(0, lines.length - 1 - Number(up[1])), ''];
      else if (part === '\n') lines.push('');
      else lines[lines.length - 1] += part;
    }
    return lines.slice(0, -1);
  }
}

const env = { NO_COLOR: '1' };

test('on a terminal each unit has one line that is redrawn in place', () => {
  const screen = new Screen(true);
  const progress = createProgress(screen, env);
  progress.update({ unit: 'ocr/0', state: 'spawning' });
  progress.update({ unit: 'ocr/1', state: 'spawning' });
  progress.update({
    unit: 'ocr/0',
    state: 'loading',
    stage: 'reading',
    done: 512,
    total: 1024,
    unitOfWork: 'bytes',
  });
  progress.note('a word from the supervisor');
  progress.update({ unit: 'ocr/0', state: 'ready', detail: 'cpu' });
  progress.update({ unit: 'ocr/1', state: 'failed', detail: 'no such file' });
  progress.close();
  assert.deepEqual(screen.shown(), [
    'a word from the supervisor',
    '✔ ocr/0 ready: cpu',
    '✖ ocr/1 failed: no such file',
  ]);
});

test('a line shows how far the load is, cut to the width of the terminal', () => {
  const screen = new Screen(true);
  const progress = createProgress(screen, env);
  progress.update({
    unit: 'a/0',
    state: 'loading',
    stage: 'reading',
    done: 512,
    total: 1024,
    unitOfWork: 'bytes',
  });
  progress.update({ unit: 'b/0', state: 'failed', detail: 'x'.repeat(200) });
  progress.close();
  const [first = '', second = ''] = screen.shown();
  assert.match(first, /^. a\/0 loading: reading ████████░░░░░░░░ 512 B of 1\.0 KiB \(50 %\)$/);
  assert.ok(second.length < 66 && second.endsWith('…'), second);
});

test('more units than the window has lines are summed up', () => {
  const screen = new Screen(true, 6);
  const progress = createProgress(screen, env);
  for (let index = 0; index < 10; index++)
    progress.update({ unit: `m/${index}`, state: index < 7 ? 'ready' : 'loading' });
  progress.close();
  const lines = screen.shown();
  assert.equal(lines.length, 4);
  assert.equal(lines.at(-1), '  10 in all: 7 ready, 3 loading');
});

test('a terminal that does not know its size is taken for one of 80 columns', () => {
  const screen = new Screen(true, 0, 0);
  const progress = createProgress(screen, env);
  progress.update({ unit: 'a/0', state: 'failed', detail: 'x'.repeat(200) });
  progress.close();
  assert.equal(screen.shown()[0]?.length, 79);
});

test('closing draws the last picture once; what follows is only notes', () => {
  const screen = new Screen(true);
  const progress = createProgress(screen, env);
  progress.update({ unit: 'a/0', state: 'ready' });
  progress.close();
  const { length } = screen.written;
  progress.close();
  progress.update({ unit: 'a/0', state: 'crashed' });
  assert.equal(screen.written.length, length);
  progress.note('stopping');
  assert.deepEqual(screen.shown(), ['✔ a/0 ready', 'stopping']);
});

test('elsewhere there are plain lines, one for each change that matters', () => {
  const stream = new Screen(false);
  const progress = createProgress(stream, {});
  progress.update({ unit: 'a/0', state: 'loading', stage: 'reading', done: 0, total: 4 });
  progress.update({ unit: 'a/0', state: 'loading', stage: 'reading', done: 1, total: 4 });
  progress.update({ unit: 'a/0', state: 'loading', stage: 'reading', done: 4, total: 4 });
  progress.update({ unit: 'a/0', state: 'ready', detail: 'on cpu\u001b[2J\n' });
  progress.close();
  assert.equal(
    stream.written,
    'a/0: loading: reading 0 of 4 (0 %)\na/0: loading: reading 4 of 4 (100 %)\na/0: ready: on cpu [2J\n',
  );
});
