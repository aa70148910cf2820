/** Why a run of a unit ended badly, and whether another start could help. */
export class UnitFailure extends Error {
  override name = 'UnitFailure';
  readonly permanent: boolean;

  constructor(message: string, o: { permanent?: boolean; cause?: unknown } = {}) {
    super(message, { cause: o.cause });
    this.permanent = o.permanent ?? false;
  }
}

export function asFailure(error: unknown): UnitFailure {
  if (error instanceof UnitFailure) return error;
  return new UnitFailure(error instanceof Error ? error.message : String(error), { cause: error });
}
