import type { CommandModule } from 'yargs';

interface Arguments {
  name?: string | undefined;
  all: boolean;
  json: boolean;
  stateDir?: string | undefined;
}

export const stop: CommandModule<object, Arguments> = {
  command: 'stop [name]',
  describe: 'Stop an experiment and prove that nothing of it is left',
  builder: (yargs) =>
    yargs
      .positional('name', {
        type: 'string',
        describe: 'Name or file of the experiment; the running one if there is one',
      })
      .option('all', {
        type: 'boolean',
        default: false,
        describe: 'Stop every experiment of the state directory',
      })
      .option('json', { type: 'boolean', default: false, describe: 'Print the receipts as JSON' }),
  handler: async (argv) => {
    const { stopExperiments } = await import('./actions/stop.js');
    process.exitCode = await stopExperiments(argv);
  },
};
