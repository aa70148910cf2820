/** The one line that tells what was started and how to use it. */
import type { DaemonStart, Endpoints } from '../daemon/messages.js';

export function howToCall({ experiment }: DaemonStart, endpoints: Endpoints, durationMs: number): string {
  const took = `${(durationMs / 1000).toFixed(2)} s`;
  if (!endpoints.grpc) {
    return `ready: ${experiment.name} runs (in ${took}); stop it with: supervisor stop ${experiment.name}`;
  }
  const { host, port } = endpoints.grpc;
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const models = (experiment.model_pool?.instances ?? []).map(({ name }) => name);
  const first = JSON.stringify({ name: models[0] });
  return (
    `ready: ${experiment.name} serves ${models.join(', ')} over gRPC on ${address} (in ${took}); ` +
    `try: grpcurl -plaintext -d '${first}' ${address} inference.GRPCInferenceService/ModelMetadata`
  );
}
