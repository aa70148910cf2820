/**
 * Writes descriptors.generated.ts, what reflection answers, from the .proto files; with --check it only
 * compares. Run as `node packages/server/dist/generate-descriptors.js`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import descriptor, { type IDescriptorProto, type IFileDescriptorProto } from 'protobufjs/ext/descriptor.js';

/** `name`: what tools know the file by. */
const FILES = [
  { source: 'grpc_service.proto', name: 'grpc_service.proto' },
  { source: 'health.proto', name: 'grpc/health/v1/health.proto' },
  { source: 'reflection.proto', name: 'grpc/reflection/v1/reflection.proto' },
  { source: 'reflection_v1alpha.proto', name: 'grpc/reflection/v1alpha/reflection.proto' },
];

const PROTO_FOLDER = new URL('../../../proto/', import.meta.url);
const TARGET = fileURLToPath(new URL('../src/descriptors.generated.ts', import.meta.url));

const text = generatedModule(FILES.map(({ source, name }) => describeFile(source, name)));
if (!process.argv.includes('--check')) {
  writeFileSync(TARGET, text);
} else if (currentText() !== text) {
  console.error(
    `${TARGET} is not what the .proto files say: run \`node packages/server/dist/generate-descriptors.js\``,
  );
  process.exitCode = 1;
}

function currentText(): string {
  try {
    return readFileSync(TARGET, 'utf8');
  } catch {
    return '';
  }
}

interface DescribedFile {
  name: string;
  services: string[];
  symbols: string[];
  base64: string;
}

function describeFile(source: string, name: string): DescribedFile {
  const root = new protobuf.Root();
  const { package: packageName } = protobuf.parse(readFileSync(new URL(source, PROTO_FOLDER), 'utf8'), root, {
    keepCase: true,
  });
  root.resolveAll();
  const [file] = root.toDescriptor('proto3').file as [IFileDescriptorProto];
  file.name = name;
  for (const message of file.messageType ?? []) qualify(message, `${packageName}.${message.name}`, root);
  const services = (file.service ?? []).map((service) => `${packageName}.${service.name}`);
  const bytes = descriptor.FileDescriptorProto.encode(file).finish();
  return { name, services, symbols: symbolsOf(root), base64: Buffer.from(bytes).toString('base64') };
}

/**
 * The library leaves type names relative and calls a map's entry message after its field; strict readers of
 * descriptors want full names, and the entry of `parameters` to be `ParametersEntry`.
 */
function qualify(message: IDescriptorProto, fullName: string, root: protobuf.Root): void {
  const type = root.lookupType(fullName);
  const nested = new Map((message.nestedType ?? []).map((each) => [each.name, each]));
  for (const field of message.field ?? []) {
    const reflected = type.fields[field.name ?? '']?.resolve();
    if (reflected?.map) {
      const entry = nested.get(field.typeName?.split('.').at(-1));
      if (!entry) throw new Error(`${fullName}.${field.name}: its map has no entry message`);
      entry.name = `${pascalCase(reflected.name)}Entry`;
      field.typeName = `.${fullName}.${entry.name}`;
      const value = entry.field?.find(({ name }) => name === 'value');
      if (value && reflected.resolvedType) value.typeName = reflected.resolvedType.fullName;
    } else if (reflected?.resolvedType) {
      field.typeName = reflected.resolvedType.fullName;
    }
  }
  for (const each of nested.values()) {
    if (!each.options?.mapEntry) qualify(each, `${fullName}.${each.name}`, root);
  }
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Full names of all that can be asked for: services, methods, messages, enums, fields. */
function symbolsOf(root: protobuf.Root): string[] {
  const symbols: string[] = [];
  const visit = (item: protobuf.ReflectionObject) => {
    const isNamespace = item instanceof protobuf.Namespace;
    const isPackage = isNamespace && !(item instanceof protobuf.Type) && !(item instanceof protobuf.Service);
    if (!isPackage) symbols.push(item.fullName.slice(1));
    if (isNamespace) item.nestedArray.forEach(visit);
    if (item instanceof protobuf.Type) item.fieldsArray.forEach(visit);
    if (item instanceof protobuf.Service) item.methodsArray.forEach(visit);
  };
  visit(root);
  return symbols.sort();
}

function generatedModule(files: DescribedFile[]): string {
  const entries = files.map(({ name, services, symbols, base64 }) =>
    [
      '  {',
      `    name: '${name}',`,
      `    services: [${services.map((service) => `'${service}'`).join(', ')}],`,
      '    symbols: [',
      ...symbols.map((symbol) => `      '${symbol}',`),
      '    ],',
      '    base64:',
      `      '${base64}',`,
      '  },',
    ].join('\n'),
  );
  return `// Generated from proto/*.proto by generate-descriptors.ts; do not edit.

export interface FileDescriptor {
  name: string;
  services: readonly string[];
  /** Full names of what the file defines. */
  symbols: readonly string[];
  /** A serialized google.protobuf.FileDescriptorProto. */
  base64: string;
}

export const DESCRIPTORS: readonly FileDescriptor[] = [
${entries.join('\n')}
];
`;
}
