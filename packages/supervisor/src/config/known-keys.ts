/** The keys that the experiment schema has, and where. */
import { z } from 'zod';
import { experimentSchema } from './experiment.js';
import type { Path } from './place.js';

/** The parts of JSON Schema that the experiment schema is made of. */
export interface SchemaNode {
  type?: string;
  description?: string;
  properties?: Record<string, SchemaNode>;
  required?: string[];
  items?: SchemaNode;
  enum?: unknown[];
  anyOf?: SchemaNode[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  examples?: unknown[];
}

/** Keys that the mapping at `path` may hold. */
export function keysAt(path: Path): string[] {
  return Object.keys(schemaAt(path)?.properties ?? {});
}

/** What may stand at `path`; undefined below free-form mappings and where nothing may. */
export function schemaAt(path: Path): SchemaNode | undefined {
  let node: SchemaNode | undefined = experimentTree();
  for (const part of path) node = typeof part === 'number' ? node?.items : node?.properties?.[String(part)];
  return node;
}

/** Dotted paths, without list indices, of every place where `key` is known: `server.grpc_port`. */
export function placesOfKey(key: string): string[] {
  const places: string[] = [];
  const visit = (node: SchemaNode | undefined, trail: string[]): void => {
    if (node?.items) visit(node.items, trail);
    for (const [name, child] of Object.entries(node?.properties ?? {})) {
      if (name === key) places.push([...trail, name].join('.'));
      visit(child, [...trail, name]);
    }
  };
  visit(experimentTree(), []);
  return places;
}

let cached: SchemaNode | undefined;

/** The experiment file as JSON Schema, as it is written: before defaults. */
export function experimentTree(): SchemaNode {
  cached ??= z.toJSONSchema(experimentSchema, { io: 'input' }) as SchemaNode;
  return cached;
}
