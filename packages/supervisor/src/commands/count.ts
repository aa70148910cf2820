import type { CommandModule } from 'yargs';

const moments = ['before', 'after'] as const;

interface Arguments {
  moment: (typeof moments)[number];
  json: boolean;
  stateDir?: string | undefined;
}

export const count: CommandModule<object, Arguments> = {
  command: 'count <moment>',
  describe: 'Count processes, ports and GPU memory before something, and compare after it',
  builder: (yargs) =>
    yargs
      .positional('moment', {
        choices: moments,
        demandOption: true,
        describe: 'Keep the counts, or compare with those kept',
      })
      .option('json', { type: 'boolean', default: false, describe: 'Print the counts as JSON' }),
  handler: async (argv) => {
    const { countProcesses } = await import('./actions/count.js');
    process.exitCode = await countProcesses(argv);
  },
};
