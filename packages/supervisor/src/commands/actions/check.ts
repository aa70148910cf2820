import { checkGpu, checkPorts, checkProcesses, lookAround, type Finding } from '../../audit/check.js';
import { printable } from '../../terminal/printable.js';
import { styleFor } from '../../terminal/style.js';
import { EXIT } from '../command-error.js';
import { knownExperiments, stateRoot } from './experiments.js';

export interface CheckArguments {
  topic?: Finding['topic'] | undefined;
  json: boolean;
  stateDir?: string | undefined;
}

/** Prints what is as it should be and what is not; returns the exit code. */
export async function checkLeftovers({ topic, json, stateDir }: CheckArguments): Promise<number> {
  const root = stateRoot(stateDir);
  const scene = await lookAround(root, knownExperiments(root));
  const asked = (wanted: Finding['topic']) => topic === undefined || topic === wanted;
  const findings = [
    ...(asked('processes') ? checkProcesses(scene) : []),
    ...(asked('ports') ? await checkPorts(scene) : []),
    ...(asked('gpu') ? await checkGpu(scene) : []),
  ];
  const wrong = findings.filter((finding) => finding.wrong);
  if (json) process.stdout.write(`${JSON.stringify({ clean: wrong.length === 0, findings }, null, 2)}\n`);
  else print(findings, wrong.length);
  return wrong.length === 0 ? EXIT.CLEAN : EXIT.ERROR;
}

function print(findings: Finding[], wrong: number): void {
  const { red, green } = styleFor(process.stdout);
  for (const finding of findings) {
    const mark = finding.wrong ? red('WRONG') : green('ok');
    process.stdout.write(`${mark} ${finding.topic}: ${printable(finding.text)}\n`);
  }
  process.stdout.write(
    wrong === 0 ? 'clean: nothing is left behind\n' : `${wrong} found; end leftovers with: supervisor reap\n`,
  );
}
