import { checkGpu, checkPorts, checkProcesses, lookAround, type Finding } from '../../audit/check.js';
import type { Receipt } from '../../process/receipt.js';
import { reconcile } from '../../process/reconcile.js';
import { formatReceipt } from '../../terminal/receipt.js';
import { printable } from '../../terminal/printable.js';
import { styleFor } from '../../terminal/style.js';
import { EXIT } from '../command-error.js';
import { isRunning, knownExperiments, stateRoot } from './experiments.js';

export interface CheckArguments {
  topic?: Finding['topic'] | undefined;
  json: boolean;
  stateDir?: string | undefined;
}

/** Cleans up after runs that died, then prints what is as it should be and what is not; returns the exit code. */
export async function checkLeftovers({ topic, json, stateDir }: CheckArguments): Promise<number> {
  const root = stateRoot(stateDir);
  const cleaned = await cleanUpDeadRuns(root);
  const scene = await lookAround(root, knownExperiments(root));
  const asked = (wanted: Finding['topic']) => topic === undefined || topic === wanted;
  const findings = [
    ...(asked('processes') ? checkProcesses(scene) : []),
    ...(asked('ports') ? await checkPorts(scene) : []),
    ...(asked('gpu') ? await checkGpu(scene) : []),
  ];
  const wrong = findings.filter((finding) => finding.wrong);
  if (json)
    process.stdout.write(`${JSON.stringify({ clean: wrong.length === 0, cleaned, findings }, null, 2)}\n`);
  else print(cleaned, findings, wrong.length);
  return wrong.length === 0 ? EXIT.CLEAN : EXIT.ERROR;
}

/** What is left of a run without daemon and guardian is provably ours: it is ended and signed off, and named. */
async function cleanUpDeadRuns(root: string): Promise<Receipt[]> {
  const receipts: Receipt[] = [];
  for (const experiment of knownExperiments(root)) {
    if (isRunning(experiment)) continue;
    const { receipt } = await reconcile(experiment.dir);
    if (receipt) receipts.push(receipt);
  }
  return receipts;
}

function print(cleaned: Receipt[], findings: Finding[], wrong: number): void {
  for (const receipt of cleaned) process.stdout.write(formatReceipt(receipt));
  const { red, green } = styleFor(process.stdout);
  for (const finding of findings) {
    const mark = finding.wrong ? red('WRONG') : green('ok');
    process.stdout.write(`${mark} ${finding.topic}: ${printable(finding.text)}\n`);
  }
  process.stdout.write(
    wrong === 0 ? 'clean: nothing is left behind\n' : `${wrong} found; end leftovers with: supervisor reap\n`,
  );
}
