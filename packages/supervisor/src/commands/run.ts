import type { CommandModule } from 'yargs';

interface Arguments {
  experiment: string;
  set: string[];
  out: string | undefined;
  json: boolean;
  stateDir?: string | undefined;
}

export const run: CommandModule<object, Arguments> = {
  command: 'run <experiment>',
  describe: 'Start an experiment, drive its load, write the results, stop it and prove that nothing is left',
  builder: (yargs) =>
    yargs
      .positional('experiment', { type: 'string', demandOption: true, describe: 'Experiment file (YAML)' })
      .option('out', { type: 'string', describe: 'Folder for the results (default: results/<name>-<time>)' })
      .option('json', { type: 'boolean', default: false, describe: 'Print results and receipt as JSON' })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [],
        describe: 'Override a key of the file, e.g. --set experiment.benchmark_requests=100',
      }),
  handler: async (argv) => {
    const { runExperiment } = await import('../session/run.js');
    process.exitCode = await runExperiment(argv);
  },
};
