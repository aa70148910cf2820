import type { CommandModule } from 'yargs';

const topics = ['ports', 'processes', 'gpu'] as const;

interface Arguments {
  topic?: (typeof topics)[number] | undefined;
  json: boolean;
  stateDir?: string | undefined;
}

export const check: CommandModule<object, Arguments> = {
  command: 'check [topic]',
  describe: 'Look for leftovers: ports, processes, GPU memory; exit code 1 when something is wrong',
  builder: (yargs) =>
    yargs
      .positional('topic', { choices: topics, describe: 'Look at this alone' })
      .option('json', { type: 'boolean', default: false, describe: 'Print the findings as JSON' }),
  handler: async (argv) => {
    const { checkLeftovers } = await import('./actions/check.js');
    process.exitCode = await checkLeftovers(argv);
  },
};
