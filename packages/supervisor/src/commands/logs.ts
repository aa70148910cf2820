import type { CommandModule } from 'yargs';

interface Arguments {
  name?: string | undefined;
  follow: boolean;
  worker?: string | undefined;
  lines: number;
  stateDir?: string | undefined;
}

export const logs: CommandModule<object, Arguments> = {
  command: 'logs [name]',
  describe: 'Show the log lines of the supervisor and its workers',
  builder: (yargs) =>
    yargs
      .positional('name', {
        type: 'string',
        describe: 'Name or file of the experiment; the running one if there is one',
      })
      .option('follow', {
        alias: 'f',
        type: 'boolean',
        default: false,
        describe: 'Go on until the experiment ends or Ctrl-C',
      })
      .option('worker', {
        type: 'string',
        requiresArg: true,
        describe: 'Only this worker or process (ocr/0), all of a name (ocr), or daemon',
      })
      .option('lines', {
        alias: 'n',
        type: 'number',
        default: 100,
        requiresArg: true,
        describe: 'Latest lines to begin with',
      }),
  handler: async (argv) => {
    const { showLogs } = await import('./actions/logs.js');
    process.exitCode = await showLogs(argv);
  },
};
