/**
 * The command line. Each command's description is here at once, its work is loaded when it runs: `--help` and
 * completion must not pay for YAML, schemas or gRPC.
 */
import type { Argv, CommandModule } from 'yargs';
import { check } from './commands/check.js';
import { count } from './commands/count.js';
import { logs } from './commands/logs.js';
import { reap } from './commands/reap.js';
import { formatOverview } from './commands/overview.js';
import { restart } from './commands/restart.js';
import { run } from './commands/run.js';
import { schema } from './commands/schema.js';
import { start } from './commands/start.js';
import { status } from './commands/status.js';
import { stop } from './commands/stop.js';
import { validate } from './commands/validate.js';
import { EXIT, UsageError } from './commands/command-error.js';
import { productVersion } from './version.js';

/**
 * Runs one command. Sets `process.exitCode` and returns; the process ends by itself once its output is written.
 *
 * @param argv without the program and the script
 */
export async function main(argv: string[]): Promise<void> {
  ignoreClosedOutput();
  if (process.platform === 'win32') {
    report(
      'Windows is not supported: it has no way to keep a process tree together. Use Linux (WSL 2 counts) or macOS.',
    );
    process.exitCode = EXIT.ERROR;
    return;
  }
  const only = argv.length === 1 ? argv[0] : undefined;
  if (only === '--help' || only === '-h' || only === 'help') {
    process.stdout.write(
      formatOverview({ commands: [...commands, completion], options: globalOptions, width: width() }),
    );
    return;
  }
  if (only === '--version') {
    process.stdout.write(`${productVersion()}\n`);
    return;
  }
  const ahead = argv[0] === 'start' || argv[0] === 'run' ? await import('./session/prestart.js') : null;
  ahead?.prestart(argv);
  try {
    const { default: yargs } = await import('yargs');
    await commandLine(yargs(argv)).parseAsync();
  } catch (error) {
    fail(error, argv);
  } finally {
    await ahead?.discardPrestart();
  }
}

const commands = [start, stop, restart, status, logs, run, check, count, reap, validate, schema];

const completion = {
  command: 'completion',
  describe: 'Print a completion script for bash or zsh: eval "$(supervisor completion)"',
};

const ownOptions = {
  'state-dir': {
    type: 'string',
    requiresArg: true,
    describe: 'Folder for PID files, logs and receipts (default: in $XDG_RUNTIME_DIR or ~/.local/state)',
  },
  'no-color': { type: 'boolean', describe: 'No colours (as does NO_COLOR=1)' },
  debug: { type: 'boolean', describe: 'Show stack traces (as does DEBUG=1)' },
} as const;

/** With those that yargs brings along. */
const globalOptions = {
  ...ownOptions,
  help: { alias: 'h', describe: 'Show this, or the options of a command' },
  version: { describe: 'Show the version' },
};

function width(): number {
  return Math.min(110, process.stdout.columns || 100);
}

function commandLine(yargs: Argv): Argv {
  const cli = yargs
    .scriptName('supervisor')
    .usage('$0 <command>')
    .parserConfiguration({ 'boolean-negation': false })
    .options(ownOptions)
    .middleware((values) => {
      refuseRepeated(values);
      if (values['noColor']) process.env['NO_COLOR'] = '1';
    }, true);
  for (const command of commands) cli.command(command as CommandModule);
  return cli
    .completion(completion.command, completion.describe)
    .demandCommand(1, 1, 'name a command', 'one command at a time')
    .strict()
    .recommendCommands()
    .version('version', globalOptions.version.describe, productVersion())
    .help('help', globalOptions.help.describe)
    .alias({ help: 'h' })
    .wrap(width())
    .exitProcess(false)
    .fail((message, error) => {
      // yargs hands over most of its own complaints as text, a few as a YError, and what a command threw as it is.
      if (error instanceof Error && error.name !== 'YError') throw error;
      throw new UsageError(asComplaint(message ?? error.message));
    });
}

const lists = new Set(['_', 'set', 'files']);

/** yargs makes a list of a repeated option; only some are meant to be one. */
function refuseRepeated(values: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(values)) {
    if (Array.isArray(value) && !lists.has(key)) throw new UsageError(`--${key} is given more than once`);
  }
}

/** yargs' words, in one line and in ours where its own leave the user guessing. */
function asComplaint(message: string): string {
  const text = message.replaceAll(/\s+/g, ' ');
  if (text.startsWith('Not enough non-option arguments')) return 'an argument is missing';
  const unknown = /^Unknown (?:command|argument)s?: (.+)$/.exec(text)?.[1];
  if (unknown !== undefined) {
    return `unknown argument or option: ${unknown}`;
  }
  return text.replace(/^Did you mean (.+)\?$/, 'there is no such command; did you mean $1?');
}

/** One line with what is wrong and what to do; the stack for those who ask. */
function fail(error: unknown, argv: readonly string[]): void {
  const { message, exitCode, stack, problems } = (error ?? {}) as Partial<Error> & {
    exitCode?: unknown;
    problems?: readonly { line: number }[];
  };
  if (problems) {
    // Each line begins with a place in a file, which editors and terminals turn into a link.
    process.stderr.write(`${message}\n`);
    report(
      problems.length === 1
        ? 'there is a mistake in the experiment'
        : `there are ${problems.length} mistakes in the experiment`,
    );
  } else {
    const hint = error instanceof UsageError ? `; see: supervisor ${commandOf(argv)}--help` : '';
    report(`${message ?? String(error)}${hint}`);
  }
  const debug = argv.includes('--debug') || (process.env['DEBUG'] ?? '') !== '';
  if (debug && stack) process.stderr.write(`${stack}\n`);
  process.exitCode = typeof exitCode === 'number' ? exitCode : EXIT.ERROR;
}

/** The command whose help tells more; empty where there is none. */
function commandOf(argv: readonly string[]): string {
  const [word] = argv;
  return commands.some(({ command }) => String(command).split(' ')[0] === word) ? `${word} ` : '';
}

function report(message: string): void {
  process.stderr.write(`supervisor: ${message}\n`);
}

/**
 * A reader that went away (`| head`) is no reason to die in the middle: a command that holds an experiment must still
 * stop it. Commands that only print end when they find their output closed.
 */
function ignoreClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
