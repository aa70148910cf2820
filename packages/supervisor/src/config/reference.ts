/** The reference page of the experiment file, written from its schema. */
import { experimentTree, type SchemaNode } from './known-keys.js';

/** Markdown, with a final newline. */
export function configurationReference(): string {
  const sections: string[] = [];
  describeMapping(experimentTree(), '', sections);
  return `${introduction}\n${sections.join('\n')}`;
}

const introduction = `<!-- Written by \`npm run generate\` from the schema; change packages/supervisor/src/config/experiment.ts instead. -->

# The experiment file

One YAML file says what to run. \`supervisor validate FILE\` reports every mistake in it with line and column,
\`supervisor schema\` prints its JSON Schema, and an editor that knows YAML schemas completes the keys after this first line:

\`\`\`yaml
# yaml-language-server: $schema=../docs/experiment.schema.json
name: digits
model_pool:
  instances:
    - name: digits
      path: models/digits.onnx
      replicas: 2
\`\`\`

- Keys that end in \`_s\` are seconds, in \`_ms\` milliseconds, in \`_mb\` MiB.
- Relative paths start at the folder of the file. \`package:NAME/FILE\` is a file carried by an installed npm package.
- \`--set KEY=VALUE\` overrides a key from the command line: \`--set server.grpc_port=0\`, \`--set model_pool.instances.0.replicas=4\`, or by the name of the item, \`--set model_pool.instances.digits.replicas=4\`. \`--set KEY=null\` takes a key out, so that its default applies.
- Arguments of \`command\` and values of \`env\` are text as it was written: \`1.10\` stays \`1.10\`.
- A single list where one value is expected would be a sweep; sweeps are not available yet.
`;

function describeMapping(node: SchemaNode, path: string, sections: string[]): void {
  const required = new Set(node.required);
  const entries = Object.entries(node.properties ?? {});
  const items = entries.map(([key, child]) => describeKey(key, child, path, required.has(key)));
  const heading = path === '' ? '## Top level' : `## \`${path}\``;
  const about = path === '' || !node.description ? '' : `${node.description}\n\n`;
  sections.push(`${heading}\n\n${about}${items.join('\n')}\n`);
  for (const [key, child] of entries) {
    const below = path === '' ? key : `${path}.${key}`;
    if (child.properties) describeMapping(child, below, sections);
    else if (child.items?.properties)
      describeMapping({ ...child.items, ...descriptionOf(child) }, `${below}[]`, sections);
  }
}

function descriptionOf({ description }: SchemaNode): Pick<SchemaNode, 'description'> {
  return description === undefined ? {} : { description };
}

function describeKey(key: string, node: SchemaNode, path: string, required: boolean): string {
  const facts = [typeOf(node)];
  if (required) facts.push('required');
  else if (isPlainDefault(node.default)) facts.push(`default \`${textOf(node.default)}\``);
  const below = path === '' ? key : `${path}.${key}`;
  const link = node.properties ? below : node.items?.properties ? `${below}[]` : undefined;
  const more = link ? ` See [\`${link}\`](#${anchor(link)}).` : '';
  return `- **\`${key}\`** (${facts.join(', ')}): ${node.description ?? ''}${more}`;
}

/** A mapping's default is the defaults of its keys, which stand with them. */
function isPlainDefault(value: unknown): boolean {
  return value !== undefined && (Array.isArray(value) || typeof value !== 'object' || value === null);
}

function typeOf(node: SchemaNode): string {
  if (node.enum) return node.enum.map((value) => `\`${String(value)}\``).join(' | ');
  if (node.anyOf) return 'text';
  switch (node.type) {
    case 'string':
      return 'text';
    case 'integer':
      return `whole number${range(node)}`;
    case 'number':
      return `number${range(node)}`;
    case 'array':
      return node.items?.properties ? 'list of mappings' : `list of ${plural(typeOf(node.items ?? {}))}`;
    case 'object':
      return 'mapping';
    default:
      return 'text';
  }
}

function plural(type: string): string {
  return type.startsWith('whole number')
    ? type.replace('whole number', 'whole numbers')
    : type === 'text'
      ? 'texts'
      : type;
}

function range({ minimum, maximum }: SchemaNode): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  return minimum === undefined ? '' : ` of at least ${minimum}`;
}

/** As GitHub makes it from a heading. */
function anchor(heading: string): string {
  return heading.toLowerCase().replace(/[^a-z0-9_ -]/g, '');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
