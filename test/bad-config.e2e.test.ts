/** Mistakes in an experiment file: each named with its place and what was meant, exit code 2, nothing started. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { scenario } from './harness/scenario.js';

interface Mistake {
  title: string;
  yaml: string;
  /** Of each problem: line, column and what the message must tell. */
  expected: [place: string, message: RegExp][];
}

const mistakes: Mistake[] = [
  {
    title: 'corrupt YAML',
    yaml: 'name: x\nprocesses: [ {name: a, command: [true]}\n',
    expected: [['\\d+:\\d+', /yaml|expected|flow|bracket|\]/i]],
  },
  {
    title: 'an unknown key, with a suggestion',
    yaml: 'name: x\nprocesses:\n  - name: a\n    comand: ["true"]\n',
    expected: [['4:5', /comand.*did you mean.*command/i]],
  },
  {
    title: 'a wrong type',
    yaml: 'name: x\nprocesses: [{ name: a, command: ["true"] }]\nsupervision:\n  grace_s: soon\n',
    expected: [['4:12', /grace_s.*number.*"soon"/i]],
  },
  {
    title: 'two of the same name',
    yaml: 'name: x\nprocesses:\n  - { name: twin, command: ["true"] }\n  - { name: twin, command: ["true"] }\n',
    expected: [['4:\\d+', /twin/]],
  },
  {
    title: 'a model file that is missing',
    yaml: 'name: x\nmodel_pool:\n  instances:\n    - name: a\n      path: nowhere/model.onnx\n',
    expected: [['5:13', /no(thing| file| such)[^]*nowhere\/model\.onnx/i]],
  },
  {
    title: 'nothing to run',
    yaml: 'name: x\n',
    expected: [['1:1', /model_pool.*processes/]],
  },
  {
    title: 'an empty file',
    yaml: '',
    expected: [['1:1', /empty|nothing|must be/i]],
  },
  {
    title: 'a backend of the older Python experiments',
    yaml: 'name: x\nmodel_pool:\n  instances: [{ name: a, backend: pytorch, path: m.pt }]\n',
    expected: [['3:\\d+', /pytorch.*onnx/i]],
  },
  {
    title: 'all mistakes at once',
    yaml: 'nam: x\nprocesses:\n  - { name: a, command: "true" }\nsupervision: { restart: { policy: sometimes } }\n',
    expected: [
      ['1:1', /nam.*did you mean.*name/i],
      ['3:\\d+', /command/],
      ['4:\\d+', /sometimes.*|on-failure/],
    ],
  },
];

for (const { title, yaml, expected } of mistakes) {
  scenario(title, async (box) => {
    const file = box.file('bad.yaml', yaml);
    for (const command of [
      ['validate', file],
      ['start', file],
    ]) {
      const { code, stderr, text } = await box.command(command);
      assert.equal(code, 2, text);
      for (const [place] of expected) {
        const line = new RegExp(`bad\\.yaml:${place}: (.*(?:\\n .*)*)`).exec(stderr)?.[1];
        assert.ok(line, `no problem at ${place} in:\n${stderr}`);
      }
      for (const [, message] of expected) assert.match(stderr, message);
    }
    assert.ok(!existsSync(box.stateRoot), 'nothing was begun');
  });
}

scenario('a file that does not exist, and one that is a folder', async (box) => {
  const missing = await box.command(['start', 'missing.yaml']);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /missing\.yaml/);
  mkdirSync(join(box.folder, 'folder.yaml'));
  const folder = await box.command(['start', 'folder.yaml']);
  assert.equal(folder.code, 2);
  assert.match(folder.stderr, /folder\.yaml/);
});

scenario('a bad override names the key', async (box) => {
  const file = box.file('good.yaml', 'name: x\nprocesses: [{ name: a, command: ["true"] }]\n');
  const { code, stderr } = await box.command(['start', file, '--set', 'supervision.grace=1']);
  assert.equal(code, 2);
  assert.match(stderr, /grace[^]*grace_s/);
});

scenario('usage mistakes end with 2 too', async (box) => {
  for (const args of [['start'], ['frobnicate'], ['status', '--no-such-option'], ['count', 'during']]) {
    const { code, text } = await box.command(args);
    assert.equal(code, 2, `${args.join(' ')}: ${text}`);
    assert.notEqual(text.trim(), '');
  }
});
