/** The request plane: everything about requests, nothing about processes. */
export type { Log } from './grpc/answer.js';
export type { DrainResult, ModelOptions, ModelStats } from './request-plane.js';
export type { InferOptions, InferResult, Replica } from './scheduling/replica.js';
export type { Routing } from './scheduling/route.js';
export { DEFAULT_MAX_MESSAGE_BYTES, InferenceServer, type InferenceServerOptions } from './server.js';
