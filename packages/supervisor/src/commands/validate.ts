import type { CommandModule } from 'yargs';

interface Arguments {
  files: string[];
  set: string[];
  json: boolean;
}

export const validate: CommandModule<object, Arguments> = {
  command: 'validate <files..>',
  describe: 'Read experiment files and report every mistake',
  builder: (yargs) =>
    yargs
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Experiment files (YAML)',
      })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        describe: 'Override a key of the files, e.g. --set server.grpc_port=0',
      })
      .option('json', { type: 'boolean', default: false, describe: 'Print the findings as JSON' }),
  handler: async (argv) => {
    const { validateFiles } = await import('./actions/validate.js');
    process.exitCode = validateFiles(argv);
  },
};
