import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { spawn } from 'node:child_process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Metadata, status, type Client, type ClientReadableStream } from '@grpc/grpc-js';
import { WorkerFault } from '@supervisor/worker/protocol';
import { CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from './grpc/receive-window.js';
import { echo, FakeReplica } from './testing/fake-replica.js';
import { asIs, ECHO_MODEL, echoRequest, LiveServer } from './testing/live-server.js';
import { decodeMessage, encodeMessage, type Plain } from './testing/messages.js';

const OPTIONS = { routing: 'least_loaded', maxQueueSize: 16 } as const;
const INFER = '/inference.GRPCInferenceService/ModelInfer';

describe('a server with a model', () => {
  let live: LiveServer;
  let replica: FakeReplica;

  before(async () => {
    live = await LiveServer.start({ maxMessageBytes: 1024 * 1024 });
    live.server.setModel('echo', ECHO_MODEL, OPTIONS);
    live.server.setModelReady('echo', true);
  });
  beforeEach(() => {
    if (replica) live.server.removeReplica('echo', replica.id);
    replica = new FakeReplica('echo/0', { requests: 2 });
    live.server.addReplica('echo', replica);
  });
  after(() => live.close());

  test('says what it is and what it has', async () => {
    assert.deepEqual(await live.call('ServerLive'), { live: true });
    assert.deepEqual(await live.call('ServerReady'), { ready: true });
    assert.deepEqual(await live.call('ServerMetadata'), {
      name: 'supervisor',
      version: '9.8.7',
      extensions: [],
    });
    assert.deepEqual(await live.call('ModelReady', { name: 'echo' }), { ready: true });
    assert.deepEqual(await live.call('ModelReady', { name: 'echo', version: '1' }), { ready: true });
    assert.deepEqual(await live.call('ModelReady', { name: 'echo', version: '2' }), { ready: false });
    assert.deepEqual(await live.call('ModelReady', { name: 'nobody' }), { ready: false });
    const metadata = await live.call('ModelMetadata', { name: 'echo' });
    assert.deepEqual(metadata['versions'], ['1']);
    assert.deepEqual(metadata['inputs'], [
      { name: 'x', datatype: 'FP32', shape: ['-1', '4'] },
      { name: 'ids', datatype: 'INT64', shape: ['-1'] },
    ]);
  });

  test('infers: raw bytes there and back, with id, version and parameters', async () => {
    replica.respond = (inputs) => ({ ...echo(inputs), parameters: { took: 1.5 } });
    const answer = await live.call(
      'ModelInfer',
      echoRequest(3, { id: 'request-7', parameters: { top: { int64_param: 5 } } }),
    );
    assert.equal(answer['model_name'], 'echo');
    assert.equal(answer['model_version'], '1');
    assert.equal(answer['id'], 'request-7');
    assert.deepEqual(answer['raw_output_contents'], [Buffer.alloc(48, 1), Buffer.alloc(24, 2)]);
    assert.equal((answer['parameters'] as { took: Plain }).took['double_param'], 1.5);
    assert.deepEqual(
      (answer['outputs'] as Plain[]).map(({ name, shape }) => [name, shape]),
      [
        ['OUTPUT0', ['3', '4']],
        ['OUTPUT1', ['3']],
      ],
    );
  });

  test('parameters of the request reach the replica', async () => {
    const answer = live.call(
      'ModelInfer',
      echoRequest(1, { parameters: { top: { int64_param: 5 }, exact: { bool_param: true } } }),
    );
    await replica.whenReceived(1);
    assert.deepEqual({ ...replica.held[0]!.options.parameters }, { top: 5, exact: true });
    assert.equal(replica.held[0]!.options.deadlineMs, 0);
    replica.held[0]!.answer();
    await answer;
  });

  test('typed contents in, raw contents out', async () => {
    replica.respond = echo;
    const request = {
      model_name: 'echo',
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [1, 4], contents: { fp32_contents: [1, 2, 3, 4] } },
        { name: 'ids', datatype: 'INT64', shape: [1], contents: { int64_contents: [-5] } },
      ],
    };
    const { raw_output_contents, outputs } = await live.call('ModelInfer', request);
    assert.deepEqual(raw_output_contents, [
      Buffer.from(Float32Array.of(1, 2, 3, 4).buffer),
      Buffer.from(BigInt64Array.of(-5n).buffer),
    ]);
    assert.ok((outputs as Plain[]).every(({ contents }) => contents === null));
  });

  test('answers with the outputs asked for, in that order', async () => {
    replica.respond = echo;
    const answer = await live.call(
      'ModelInfer',
      echoRequest(1, { outputs: [{ name: 'OUTPUT1' }, { name: 'OUTPUT0' }] }),
    );
    assert.deepEqual(
      (answer['outputs'] as Plain[]).map(({ name }) => name),
      ['OUTPUT1', 'OUTPUT0'],
    );
    assert.deepEqual(answer['raw_output_contents'], [Buffer.alloc(8, 2), Buffer.alloc(16, 1)]);
  });

  test('refuses with the status, the code and what is there', async () => {
    const refused = (request: Plain, code: status, details: RegExp) =>
      assert.rejects(live.call('ModelInfer', request), { code, details });
    await refused(
      { model_name: 'nobody' },
      status.NOT_FOUND,
      /^MODEL_NOT_FOUND: there is no model "nobody"; there are "echo"$/,
    );
    await refused(
      echoRequest(1, { model_version: '7' }),
      status.NOT_FOUND,
      /^VERSION_NOT_FOUND: .* no version "7"; it has "1"/,
    );
    await refused(echoRequest(9), status.INVALID_ARGUMENT, /^BATCH_SIZE_INVALID: .* batch size 9/);
    await refused(
      echoRequest(1, { raw_input_contents: [] }),
      status.INVALID_ARGUMENT,
      /^INPUT_DATA_INVALID: /,
    );
    await assert.rejects(live.call('ModelMetadata', { name: 'nobody' }), { code: status.NOT_FOUND });
    assert.equal(replica.received, 0);
  });

  test('refuses a message over the limit and names the limit', async () => {
    const request = echoRequest(1, { raw_input_contents: [Buffer.alloc(1024 * 1024)] });
    await assert.rejects(live.call('ModelInfer', request), {
      code: status.RESOURCE_EXHAUSTED,
      details: /larger than max \(\d+ vs 1048576\)/,
    });
  });

  test('bytes that are no message are refused, on every method, and the connection lives on', async () => {
    const paths = [
      'ServerLive',
      'ServerReady',
      'ModelReady',
      'ServerMetadata',
      'ModelMetadata',
      'ModelInfer',
    ].map((method) => `/inference.GRPCInferenceService/${method}`);
    for (const path of [...paths, '/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/List']) {
      for (const bytes of [Buffer.from([0x0a, 0xff, 0x01]), Buffer.alloc(64, 0xff), Buffer.from([0x07])]) {
        const refused = { code: status.INVALID_ARGUMENT, details: /^MALFORMED_MESSAGE: .* at byte \d+$/ };
        await assert.rejects(live.callBytes(path, bytes), refused, `${path} ${bytes.toString('hex')}`);
      }
    }
    assert.deepEqual(await live.call('ServerLive'), { live: true });
  });

  test('what a worker answers wrongly is its fault, in the log and in the status', async () => {
    replica.respond = () => ({ outputs: [] });
    await assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.INTERNAL,
      details: /^WORKER_OUTPUT_INVALID: /,
    });
    assert.ok(
      live.logged.some(
        ({ level, message }) => level === 'error' && /left out output "OUTPUT0"/.test(message),
      ),
    );
    replica.respond = () => Promise.reject(new WorkerFault('RESOURCE_EXHAUSTED', 'CUDA out of memory'));
    await assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.RESOURCE_EXHAUSTED,
      details: 'RESOURCE_EXHAUSTED: CUDA out of memory',
    });
    replica.respond = () => Promise.reject(new TypeError('secret'));
    await assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.INTERNAL,
      details: /^INTERNAL: an unexpected error/,
    });
    assert.ok(live.logged.some(({ fields }) => /secret/.test(String(fields?.['cause']))));
  });

  test('a worker that dies takes its request with it, as UNAVAILABLE', async () => {
    const answer = live.call('ModelInfer', echoRequest());
    await replica.whenReceived(1);
    replica.held[0]!.fail(new WorkerFault('UNAVAILABLE', 'worker echo/0 ended (signal SIGKILL)'));
    await assert.rejects(answer, { code: status.UNAVAILABLE, details: /worker echo\/0 ended/ });
  });

  test('the deadline of the call goes along and ends the request everywhere', async () => {
    const answer = live.call('ModelInfer', echoRequest(), { deadline: Date.now() + 200 });
    await replica.whenReceived(1);
    const { deadlineMs, signal } = replica.held[0]!.options;
    assert.ok(deadlineMs > 0 && deadlineMs <= 200, String(deadlineMs));
    await assert.rejects(answer, { code: status.DEADLINE_EXCEEDED });
    if (!signal!.aborted) await once(signal!, 'abort');
  });

  test('a call that is cancelled is aborted in its replica', async () => {
    const call = live.startCall(INFER, encodeMessage('inference.ModelInferRequest', echoRequest()));
    await replica.whenReceived(1);
    const { signal } = replica.held[0]!.options;
    call.cancel();
    await assert.rejects(call.answer, { code: status.CANCELLED });
    if (!signal!.aborted) await once(signal!, 'abort');
    assert.equal((signal!.reason as { code: string }).code, 'CANCELLED');
  });

  test('a client that disconnects takes its request with it', async () => {
    const client = http2.connect(`http://127.0.0.1:${live.port}`);
    client.on('error', () => undefined);
    const stream = client.request({
      ':method': 'POST',
      ':path': INFER,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.end(framed(encodeMessage('inference.ModelInferRequest', echoRequest())));
    await replica.whenReceived(1);
    const { signal } = replica.held[0]!.options;
    client.destroy();
    if (!signal!.aborted) await once(signal!, 'abort');
    await nextTurn();
    assert.equal(replica.inFlight, 0);
  });

  test('a full queue answers at once', async () => {
    const calls = Array.from({ length: 18 }, () => live.call('ModelInfer', echoRequest()));
    await replica.whenReceived(2);
    // On the same connection, so it comes after them.
    await assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.RESOURCE_EXHAUSTED,
      details: /^QUEUE_FULL: 16 requests wait/,
    });
    replica.respond = echo;
    replica.held.slice().forEach((held) => held.answer());
    await Promise.all(calls);
  });

  test('thousands of calls, many cancelled on the way: each is settled once and nothing stays', async () => {
    const before = live.server.stats()[0]!;
    replica.respond = async (inputs) => {
      await nextTurn();
      return echo(inputs);
    };
    const bytes = encodeMessage('inference.ModelInferRequest', echoRequest());
    const total = 4000;
    let started = 0;
    const outcomes = { answered: 0, cancelled: 0, late: 0 };
    // HTTP/2 in Node ends a connection that resets more than some thousand streams in a short time.
    const clients = Array.from({ length: 4 }, () => live.newClient());
    const caller = async (random: () => number, client: Client) => {
      while (started < total) {
        started += 1;
        const kind = random();
        const call = live.startCall(INFER, bytes, kind > 0.9 ? { deadline: Date.now() + 3 } : {}, client);
        if (kind < 0.3) setImmediate(call.cancel);
        const code = await call.answer.then(
          () => status.OK,
          (error: { code: status }) => error.code,
        );
        if (code === status.OK) outcomes.answered += 1;
        else if (code === status.CANCELLED) outcomes.cancelled += 1;
        else if (code === status.DEADLINE_EXCEEDED) outcomes.late += 1;
        else assert.fail(`status ${status[code]}`);
      }
    };
    // No more callers than can wait: a refusal would be no cancellation.
    await Promise.all(
      Array.from({ length: 16 }, (_, i) => caller(pseudoRandom(i + 1), clients[i % clients.length]!)),
    );
    assert.equal(outcomes.answered + outcomes.cancelled + outcomes.late, total);
    assert.ok(outcomes.answered > 1000 && outcomes.cancelled > 100, JSON.stringify(outcomes));
    // The last cancellations may still be on their way to the server.
    clients.forEach((client) => client.close());
    while (live.server.stats()[0]!.inFlight > 0) await nextTurn();
    const { inFlight, queued, succeeded, failed } = live.server.stats()[0]!;
    assert.deepEqual({ inFlight, queued }, { inFlight: 0, queued: 0 });
    assert.equal(replica.inFlight, 0);
    assert.ok(succeeded - before.succeeded >= outcomes.answered);
    assert.ok(succeeded + failed - before.succeeded - before.failed <= total);
  });

  test('clients may send far ahead of what the server has read', async () => {
    const client = http2.connect(`http://127.0.0.1:${live.port}`);
    const [settings] = (await once(client, 'remoteSettings')) as [http2.Settings];
    assert.equal(settings.initialWindowSize, STREAM_WINDOW_BYTES);
    // The connection's own window comes in a frame after the settings; a ping's answer comes after both.
    await new Promise((resolve) => client.ping(resolve));
    assert.equal(client.state.remoteWindowSize, CONNECTION_WINDOW_BYTES);
    client.close();
    await once(client, 'close');
  });
});

describe('readiness', () => {
  test('a model is declared, loads, is ready, drains', async () => {
    const live = await LiveServer.start();
    const { server } = live;
    assert.deepEqual(await live.call('ServerReady'), { ready: false });
    server.declareModel('echo');
    await assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.UNAVAILABLE,
      details: /^MODEL_NOT_READY: model "echo" is not ready/,
    });
    await assert.rejects(live.call('ModelMetadata', { name: 'echo' }), { code: status.UNAVAILABLE });
    server.setModel('echo', ECHO_MODEL, OPTIONS);
    await assert.rejects(live.call('ModelInfer', echoRequest()), { code: status.UNAVAILABLE });
    const replica = new FakeReplica('echo/0', { requests: 1 });
    server.addReplica('echo', replica);
    server.setModelReady('echo', true);
    assert.deepEqual(await live.call('ServerReady'), { ready: true });
    server.declareModel('later');
    assert.deepEqual(await live.call('ServerReady'), { ready: false });
    server.removeModel('later');
    await live.close();
  });

  test('draining finishes what runs, cuts off what takes too long, and refuses the rest', async () => {
    const live = await LiveServer.start();
    const { server } = live;
    server.setModel('echo', ECHO_MODEL, OPTIONS);
    const replica = new FakeReplica('echo/0', { requests: 1 });
    server.addReplica('echo', replica);
    server.setModelReady('echo', true);
    const quick = live.call('ModelInfer', echoRequest());
    const slow = live.call('ModelInfer', echoRequest());
    const waiting = live.call('ModelInfer', echoRequest());
    const cut = [slow, waiting].map((call) =>
      assert.rejects(call, { code: status.UNAVAILABLE, details: /^SERVER_STOPPED: / }),
    );
    await replica.whenReceived(1);
    await live.call('ServerLive');
    const drained = server.drain(60_000);
    await assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.UNAVAILABLE,
      details: /^DRAINING: /,
    });
    assert.deepEqual(await live.call('ServerLive'), { live: true });
    assert.deepEqual(await live.call('ServerReady'), { ready: false });
    assert.deepEqual(await live.call('ModelReady', { name: 'echo' }), { ready: false });
    replica.held[0]!.answer();
    await quick;
    await replica.whenReceived(2);
    // A second, impatient drain shortens the first.
    assert.deepEqual(await server.drain(0), { finished: 1, cancelled: 2 });
    assert.deepEqual(await drained, { finished: 1, cancelled: 2 });
    await Promise.all(cut);
    await live.close();
    await live.close();
  });

  test('closing answers what is left before it cuts the connections', async () => {
    const live = await LiveServer.start();
    live.server.setModel('echo', ECHO_MODEL, OPTIONS);
    const replica = new FakeReplica('echo/0');
    live.server.addReplica('echo', replica);
    live.server.setModelReady('echo', true);
    const answer = assert.rejects(live.call('ModelInfer', echoRequest()), {
      code: status.UNAVAILABLE,
      details: /^SERVER_STOPPED: /,
    });
    await replica.whenReceived(1);
    await live.server.close();
    await answer;
    await live.close();
  });

  test('a process whose server is closed ends by itself, whatever its clients do', async () => {
    const program = `
      import { createServer } from 'node:net';
      import { InferenceServer } from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
      const server = new InferenceServer({ version: '1', log: () => {} });
      server.setModel('m', ${JSON.stringify(ECHO_MODEL)}, { routing: 'least_loaded', maxQueueSize: 4 });
      const listener = createServer();
      server.serve(listener);
      listener.listen(0, '127.0.0.1', () => console.log(listener.address().port));
      process.stdin.once('end', async () => { await server.close(); listener.close(); }).resume();
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    // One that never says a word and never closes, one with an open stream.
    const silent = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    silent.on('error', () => undefined);
    await once(silent, 'data');
    const watcher = http2.connect(`http://127.0.0.1:${port}`);
    watcher.on('error', () => undefined);
    const stream = watcher.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Watch',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined).end(framed(Buffer.alloc(0)));
    await once(stream, 'data');
    child.stdin.end();
    const [code] = (await exited) as [number];
    assert.equal(code, 0);
    silent.destroy();
    watcher.destroy();
  });
});

describe('health', () => {
  let live: LiveServer;
  before(async () => {
    live = await LiveServer.start();
    live.server.setModel('echo', ECHO_MODEL, OPTIONS);
  });
  after(() => live.close());

  const check = async (service: string) => {
    const bytes = await live.callBytes(
      '/grpc.health.v1.Health/Check',
      encodeMessage('grpc.health.v1.HealthCheckRequest', { service }),
    );
    return decodeMessage('grpc.health.v1.HealthCheckResponse', bytes)['status'];
  };

  test('Check and List know the server and each model', async () => {
    assert.equal(await check(''), 'NOT_SERVING');
    assert.equal(await check('echo'), 'NOT_SERVING');
    live.server.setModelReady('echo', true);
    assert.equal(await check(''), 'SERVING');
    assert.equal(await check('echo'), 'SERVING');
    await assert.rejects(check('nobody'), { code: status.NOT_FOUND });
    const list = await live.callBytes('/grpc.health.v1.Health/List', Buffer.alloc(0));
    assert.deepEqual(decodeMessage('grpc.health.v1.HealthListResponse', list)['statuses'], {
      '': { status: 'SERVING' },
      echo: { status: 'SERVING' },
    });
  });

  test('Watch tells at once and at every change, and ends with the server', async () => {
    live.server.setModelReady('echo', false);
    const model = watch(live, 'echo');
    const later = watch(live, 'later');
    assert.equal(await model.next(), 'NOT_SERVING');
    assert.equal(await later.next(), 'SERVICE_UNKNOWN');
    live.server.setModelReady('echo', true);
    assert.equal(await model.next(), 'SERVING');
    live.server.declareModel('later');
    assert.equal(await later.next(), 'NOT_SERVING');
    await live.server.drain(0);
    assert.equal(await model.next(), 'NOT_SERVING');
    const ended = Promise.all([model.ended, later.ended]);
    await live.server.close();
    assert.deepEqual(await ended, [status.UNAVAILABLE, status.UNAVAILABLE]);
  });
});

describe('reflection', () => {
  let live: LiveServer;
  before(async () => (live = await LiveServer.start()));
  after(() => live.close());

  for (const version of ['v1', 'v1alpha']) {
    test(`${version}: lists services and hands out the files that define them`, async () => {
      const ask = reflect(live, version);
      const listed = await ask({ list_services: '*' });
      const { service } = listed['list_services_response'] as { service: { name: string }[] };
      assert.deepEqual(
        service.map(({ name }) => name),
        [
          'inference.GRPCInferenceService',
          'grpc.health.v1.Health',
          'grpc.reflection.v1.ServerReflection',
          'grpc.reflection.v1alpha.ServerReflection',
        ],
      );
      const bySymbol = await ask({ file_containing_symbol: 'inference.GRPCInferenceService.ModelInfer' });
      const byName = await ask({ file_by_filename: 'grpc_service.proto' });
      assert.deepEqual(bySymbol['file_descriptor_response'], byName['file_descriptor_response']);
      const { file_descriptor_proto } = byName['file_descriptor_response'] as {
        file_descriptor_proto: Buffer[];
      };
      assert.ok(file_descriptor_proto[0]!.includes('raw_input_contents'));
      const unknown = await ask({ file_containing_symbol: 'no.Such' });
      assert.equal((unknown['error_response'] as Plain)['error_code'], status.NOT_FOUND);
      const nothing = await ask({});
      assert.equal((nothing['error_response'] as Plain)['error_code'], status.INVALID_ARGUMENT);
      ask.end();
    });
  }

  test('bytes that are no request end the stream with INVALID_ARGUMENT', async () => {
    const stream = live.client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      asIs,
      asIs,
    );
    stream.on('data', () => assert.fail('an answer'));
    stream.write(Buffer.alloc(10, 0xff));
    const [error] = (await once(stream, 'error')) as [{ code: status }];
    assert.equal(error.code, status.INVALID_ARGUMENT);
  });
});

/** One gRPC message, not compressed. */
function framed(message: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([header, message]);
}

/** The same numbers every time: 0 to 1. */
function pseudoRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function watch(live: LiveServer, service: string) {
  const request = encodeMessage('grpc.health.v1.HealthCheckRequest', { service });
  const stream: ClientReadableStream<Buffer> = live.client.makeServerStreamRequest(
    '/grpc.health.v1.Health/Watch',
    asIs,
    asIs,
    request,
    new Metadata(),
  );
  const ended = once(stream, 'error').then(([error]) => (error as { code: status }).code);
  const answers = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const next = async () => {
    const answer = await answers.next();
    return decodeMessage('grpc.health.v1.HealthCheckResponse', answer.value as Buffer)['status'];
  };
  return { next, ended };
}

function reflect(live: LiveServer, version: string) {
  const stream = live.client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    asIs,
    asIs,
  );
  const ask = async (request: Plain): Promise<Plain> => {
    stream.write(encodeMessage('grpc.reflection.v1.ServerReflectionRequest', request));
    const [answer] = (await once(stream, 'data')) as [Buffer];
    return decodeMessage('grpc.reflection.v1.ServerReflectionResponse', answer);
  };
  return Object.assign(ask, { end: () => stream.end() });
}
