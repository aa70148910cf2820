import type { CommandModule } from 'yargs';

export const schema: CommandModule = {
  command: 'schema',
  describe: 'Print the JSON Schema of the experiment file, for editors',
  handler: async () => {
    const { experimentJsonSchema } = await import('../config/json-schema.js');
    process.stdout.write(experimentJsonSchema());
  },
};
