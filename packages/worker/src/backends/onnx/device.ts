/** Devices as people write them, and as ONNX Runtime's execution providers. */
import type { InferenceSession } from 'onnxruntime-node';

const PROVIDERS = ['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml'] as const;

export interface Device {
  /** As written: `cpu`, `cuda:1`. */
  name: string;
  provider: (typeof PROVIDERS)[number];
  index: number;
}

/** Undefined for what is no device. Only cuda and tensorrt have numbers. */
export function parseDevice(name: string): Device | undefined {
  const [, word, index] = /^([a-z]+)(?::(\d{1,4}))?$/.exec(name) ?? [];
  const provider = PROVIDERS.find((known) => known === word);
  if (!provider || (index !== undefined && provider !== 'cuda' && provider !== 'tensorrt')) return undefined;
  return { name, provider, index: Number(index ?? 0) };
}

/** In order of preference; the CPU takes the operators that the others do not have. */
export function executionProviders({ provider, index }: Device): InferenceSession.ExecutionProviderConfig[] {
  switch (provider) {
    case 'cpu':
      return ['cpu'];
    case 'cuda':
      return [{ name: 'cuda', deviceId: index }, 'cpu'];
    case 'tensorrt':
      return [{ name: 'tensorrt', deviceId: index }, { name: 'cuda', deviceId: index }, 'cpu'];
    case 'webgpu':
    case 'coreml':
      return [provider, 'cpu'];
  }
}

/** What a person can do about a device that does not work. */
export function deviceRemedy({ provider }: Device): string {
  switch (provider) {
    case 'cuda':
    case 'tensorrt':
      return 'install the CUDA libraries of onnxruntime-node and a driver that fits them, or set another device or fallback_devices';
    case 'webgpu':
      return 'install a Vulkan driver (libvulkan.so.1), or set another device or fallback_devices';
    case 'coreml':
      return 'it exists on macOS only; set another device or fallback_devices';
    case 'cpu':
      return 'reinstall onnxruntime-node';
  }
}

/** Errors after which nothing on this device will work again in this process. Out of memory is not one: a smaller request may fit. */
export function isDeviceLost({ provider }: Device, message: string): boolean {
  if (provider === 'cpu' || isOutOfMemory(message)) return false;
  return /CUDA failure|CUDA error|CUDNN[_ ](failure|STATUS)|CUBLAS[_ ](failure|STATUS)|device (was |is )?lost/i.test(
    message,
  );
}

export function isOutOfMemory(message: string): boolean {
  return /out of memory|failed to allocate memory|bad_?alloc|CUDA_ERROR_OUT_OF_MEMORY/i.test(message);
}
