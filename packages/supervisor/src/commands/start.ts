import type { CommandModule } from 'yargs';

interface Arguments {
  experiment: string;
  detach: boolean;
  set: string[];
  stateDir?: string | undefined;
}

export const start: CommandModule<object, Arguments> = {
  command: 'start <experiment>',
  describe: 'Start an experiment and serve its models until it is stopped',
  builder: (yargs) =>
    yargs
      .positional('experiment', { type: 'string', demandOption: true, describe: 'Experiment file (YAML)' })
      .option('detach', {
        alias: 'd',
        type: 'boolean',
        default: false,
        describe: 'Return when it is ready and let it run in the background',
      })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [],
        describe: 'Override a key of the file, e.g. --set model_pool.instances.0.replicas=2',
      }),
  handler: async (argv) => {
    const { startExperiment } = await import('../session/start.js');
    process.exitCode = await startExperiment(argv);
  },
};
