import type { CommandModule } from 'yargs';

interface Arguments {
  name?: string | undefined;
  json: boolean;
  watch: boolean;
  stateDir?: string | undefined;
}

export const status: CommandModule<object, Arguments> = {
  command: 'status [name]',
  describe: 'Show what runs: workers, memory, restarts, requests',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', describe: 'Name or file of the experiment; all when absent' })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Print JSON: an object with a name, a list without; with --watch one per line',
      })
      .option('watch', {
        alias: 'w',
        type: 'boolean',
        default: false,
        describe: 'Show it anew each second until Ctrl-C',
      }),
  handler: async (argv) => {
    const { showStatus } = await import('./actions/status.js');
    process.exitCode = await showStatus(argv);
  },
};
