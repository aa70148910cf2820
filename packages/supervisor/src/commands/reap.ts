import type { CommandModule } from 'yargs';

interface Arguments {
  json: boolean;
  stateDir?: string | undefined;
}

export const reap: CommandModule<object, Arguments> = {
  command: 'reap',
  describe: 'End what experiments that are gone have left behind; running ones are left alone',
  builder: (yargs) =>
    yargs.option('json', { type: 'boolean', default: false, describe: 'Print the receipts as JSON' }),
  handler: async (argv) => {
    const { reapLeftovers } = await import('./actions/reap.js');
    process.exitCode = await reapLeftovers(argv);
  },
};
