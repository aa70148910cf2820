/**
 * Rules that look at several keys at once. They run on values of any shape, because all mistakes of a file are
 * reported together: what is malformed has its own message already and is skipped here.
 */
type Path = (string | number)[];
interface Reporter {
  addIssue(issue: { code: 'custom'; path: Path; message: string }): void;
}

export function crossCheck(experiment: unknown, reporter: Reporter): void {
  const report: Report = (path, message) => reporter.addIssue({ code: 'custom', path, message });
  const root = asRecord(experiment);
  if (!root) return;
  const pool = asRecord(root.model_pool);
  const instances = records(pool?.instances);
  const processes = records(root.processes);

  if (root.model_pool === undefined && root.processes === undefined) {
    report([], 'nothing to run: give model_pool (models) or processes (plain commands), or both');
  }
  if (root.server !== undefined && root.model_pool === undefined) {
    report(['server'], 'an experiment of plain processes opens no port; remove server or add model_pool');
  }
  for (const [index, instance] of instances)
    checkInstance(instance, ['model_pool', 'instances', index], report);
  for (const [index, definition] of processes) checkProcess(definition, ['processes', index], report);
  checkNames(
    [...namesOf(instances, ['model_pool', 'instances']), ...namesOf(processes, ['processes'])],
    report,
  );
  checkLoad(asRecord(root.experiment), pool === undefined ? undefined : instances, report);
  checkBackoff(asRecord(asRecord(root.supervision)?.restart), report);
}

type Report = (path: Path, message: string) => void;

const devicePattern = /^(cpu|webgpu|coreml|(cuda|tensorrt)(:\d{1,3})?)$/;

function checkInstance(instance: Values, path: Path, report: Report): void {
  const { backend, command } = instance;
  if (backend !== undefined && command !== undefined) {
    report([...path, 'command'], 'give either backend or command, not both');
    return;
  }
  const kind = command !== undefined ? 'command' : (backend ?? 'onnx');
  if (kind === 'onnx' && instance.path === undefined) {
    report(path, 'an onnx model needs path: the model file, e.g. path: models/ocr.onnx');
  }
  if (kind === 'identity' && (!Array.isArray(instance.inputs) || instance.inputs.length === 0)) {
    report(
      path,
      'an identity model needs inputs, e.g. inputs: [{ name: INPUT0, datatype: FP32, shape: [4] }]',
    );
  }
  if (kind === 'identity' && instance.path !== undefined) {
    report([...path, 'path'], 'an identity model has no file; remove path or use backend: onnx');
  }
  if (kind !== 'identity' && typeof instance.delay_ms === 'number' && instance.delay_ms > 0) {
    report([...path, 'delay_ms'], 'only an identity model can be delayed; remove delay_ms');
  }
  if (kind !== 'command' && Object.keys(asRecord(instance.config) ?? {}).length > 0) {
    report([...path, 'config'], 'config is handed to a worker of your own; it needs command');
  }
  if (kind !== 'command') checkDevices(instance, path, report);
  checkEnvironment(instance.env, [...path, 'env'], report);
  checkCommand(command, [...path, 'command'], report);
  checkTensorNames(instance.inputs, [...path, 'inputs'], report);
}

function checkProcess(definition: Values, path: Path, report: Report): void {
  checkEnvironment(definition.env, [...path, 'env'], report);
  checkCommand(definition.command, [...path, 'command'], report);
  const ready = asRecord(definition.ready);
  if (!ready) return;
  const given = ['port', 'log', 'file'].filter((key) => ready[key] !== undefined);
  if (given.length !== 1) {
    report(
      [...path, 'ready'],
      `give exactly one of port, log and file, not ${given.join(' and ') || 'none'}`,
    );
  }
  if (typeof ready.log === 'string') {
    try {
      new RegExp(ready.log);
    } catch (error) {
      report([...path, 'ready', 'log'], `not a regular expression: ${(error as Error).message}`);
    }
  }
}

function checkDevices(instance: Values, path: Path, report: Report): void {
  const fallbacks: unknown[] = Array.isArray(instance.fallback_devices) ? instance.fallback_devices : [];
  const devices: [unknown, Path][] = [
    [instance.device, [...path, 'device']],
    ...fallbacks.map((device, index): [unknown, Path] => [device, [...path, 'fallback_devices', index]]),
  ];
  for (const [device, where] of devices) {
    if (typeof device !== 'string' || device === '' || devicePattern.test(device)) continue;
    report(
      where,
      `unknown device "${device}"; there are cpu, cuda, cuda:N, tensorrt, tensorrt:N, webgpu, coreml`,
    );
  }
}

/** The supervisor finds its children again by these. */
const reservedVariables = new Set(['SUPERVISOR_RUN', 'SUPERVISOR_STATE', 'SUPERVISOR_UNIT']);

function checkEnvironment(env: unknown, path: Path, report: Report): void {
  for (const [key, value] of Object.entries(asRecord(env) ?? {})) {
    if (key === '' || /[=\0]/.test(key))
      report([...path, key], `"${key}" cannot name an environment variable`);
    if (reservedVariables.has(key))
      report([...path, key], `${key} is set by the supervisor itself; remove it`);
    if (typeof value === 'string' && value.includes('\0')) {
      // The value may be a secret: it is never repeated.
      report([...path, key], 'an environment variable must not hold a NUL character');
    }
  }
}

function checkCommand(command: unknown, path: Path, report: Report): void {
  if (!Array.isArray(command)) return;
  command.forEach((argument: unknown, index) => {
    if (typeof argument === 'string' && argument.includes('\0')) {
      report([...path, index], 'an argument must not hold a NUL character');
    }
  });
  if (command[0] === '') report([...path, 0], 'must name a program');
}

function checkTensorNames(inputs: unknown, path: Path, report: Report): void {
  const seen = new Set<unknown>();
  for (const [index, input] of records(inputs)) {
    if (typeof input.name === 'string' && seen.has(input.name)) {
      report([...path, index, 'name'], `there are two inputs named "${input.name}"`);
    }
    seen.add(input.name);
  }
}

interface NameAt {
  name: string;
  path: Path;
}

function namesOf(list: [number, Values][], path: Path): NameAt[] {
  return list.flatMap(([index, { name }]) =>
    typeof name === 'string' ? [{ name, path: [...path, index, 'name'] }] : [],
  );
}

/** Unit ids are made from the names and become file names, also where file systems do not tell case apart. */
function checkNames(names: NameAt[], report: Report): void {
  const first = new Map<string, NameAt>();
  for (const at of names) {
    const earlier = first.get(at.name.toLowerCase());
    if (!earlier) {
      first.set(at.name.toLowerCase(), at);
      continue;
    }
    const other = `${formatPath(earlier.path.slice(0, -1))}${earlier.name === at.name ? '' : ` ("${earlier.name}")`}`;
    report(at.path, `the name "${at.name}" is taken by ${other}; for more workers of one model use replicas`);
  }
}

/** @param instances undefined where the file serves no models */
function checkLoad(
  load: Values | undefined,
  instances: [number, Values][] | undefined,
  report: Report,
): void {
  if (!load) return;
  if (!instances)
    return report(['experiment'], 'load needs a model to go to; remove experiment or add model_pool');
  const names = instances.map(([, { name }]) => name);
  const wanted = load.model ?? names[0];
  const [, target] = instances.find(([, { name }]) => name === wanted) ?? [];
  if (!target) {
    if (typeof wanted === 'string')
      report(['experiment', 'model'], `there is no model "${wanted}"; there are ${names.join(', ')}`);
    return;
  }
  const limit = target.max_batch_size;
  if (typeof limit !== 'number' || limit <= 0 || !Array.isArray(load.batch_sizes)) return;
  load.batch_sizes.forEach((size: unknown, index) => {
    if (typeof size !== 'number' || size <= limit) return;
    report(
      ['experiment', 'batch_sizes', index],
      `${size} is above max_batch_size of ${String(wanted)}, which is ${limit}`,
    );
  });
}

function checkBackoff(restart: Values | undefined, report: Report): void {
  const backoff = restart?.backoff_s ?? 0;
  const longest = restart?.max_backoff_s;
  if (typeof backoff !== 'number' || typeof longest !== 'number' || longest >= backoff) return;
  report(
    ['supervision', 'restart', 'max_backoff_s'],
    `the longest back-off (${longest} s) is shorter than the first, backoff_s (${backoff} s)`,
  );
}

/** `model_pool.instances[0]`, as messages name a place. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

type Values = Record<string, unknown>;

function asRecord(value: unknown): Values | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Values) : undefined;
}

function records(value: unknown): [number, Values][] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item, index): [number, Values][] => {
    const record = asRecord(item);
    return record ? [[index, record]] : [];
  });
}
