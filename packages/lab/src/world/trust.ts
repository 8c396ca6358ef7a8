/** What root put on a simulated host: whose signatures count there, and the helper that alone may change it. */
import { digestOfTrust, reason, signatureNamespaces, trustDocument } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import type { SignedHelper, TrustRead, TrustStore } from '@felhom/agent';
import type { Operator } from './operators.ts';

const dayMs = 24 * 60 * 60_000;

/** Everybody may sign jobs; removing a guest takes two, everything else one; good for 90 days from `now`. */
export function labTrust(
  operators: readonly Pick<Operator, 'principal' | 'keyLine'>[],
  now: number,
  changes: Partial<TrustDocument> = {},
): TrustDocument {
  return trustDocument.parse({
    v: 1,
    host: 'lab',
    version: 1,
    issuedAt: now,
    expiresAt: now + 90 * dayMs,
    signers: operators.map(({ principal, keyLine }) => ({
      principal,
      key: keyLine,
      signs: [signatureNamespaces.job],
      touch: false,
    })),
    revoked: [],
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 1 },
    loneOperator: false,
    floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 1 },
    ...changes,
  });
}

/** The root-owned side of the host: outlives every process of the agent. */
export interface SimRoot {
  readonly store: TrustStore;
  readonly helper: SignedHelper;
  /** Root at the keyboard; `undefined` takes the document away. */
  put(document: TrustDocument | undefined): void;
}

export function createSimRoot(first: TrustDocument): SimRoot {
  let held: TrustDocument | undefined = first;
  const read = (): TrustRead =>
    held === undefined ? { is: 'none' } : { is: 'held', document: held, digest: digestOfTrust(held) };
  const refuse = async (verb: string) => ({
    is: 'refused' as const,
    why: reason('helper.refused', `cannot ${verb}: this stand-in does not know how`),
  });
  return {
    store: { read },
    put: (document) => {
      held = document;
    },
    helper: {
      trustUpdate: () => refuse('trust-update'),
      breakGlassOpen: () => refuse('break-glass-open'),
      breakGlassClose: () => refuse('break-glass-close'),
      breakGlassShow: async () => ({ is: 'done', value: undefined }),
    },
  };
}
