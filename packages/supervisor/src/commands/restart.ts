import type { CommandModule } from 'yargs';

interface Arguments {
  name: string | undefined;
  worker: string | undefined;
  stateDir?: string | undefined;
}

export const restart: CommandModule<object, Arguments> = {
  command: 'restart [name]',
  describe: 'Stop an experiment and start it again detached, or restart one of its workers',
  builder: (yargs) =>
    yargs
      .positional('name', {
        type: 'string',
        describe: 'Name or file of the experiment; the running one if there is one',
      })
      .option('worker', { type: 'string', describe: 'Restart only this worker or process, e.g. ocr/0' }),
  handler: async (argv) => {
    const { restartExperiment } = await import('../session/restart.js');
    process.exitCode = await restartExperiment(argv);
  },
};
