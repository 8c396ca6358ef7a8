/**
 * Releases: which bytes may run here is in a manifest that people signed. Nothing takes one in yet; what will decide is
 * asked as it will be, with signatures that the real `ssh-keygen` verifies.
 */
import { decideRelease, verifyEnvelope } from '@felhom/agent';
import { parsePayload, payloadOf, releaseManifestKind, signatureNamespaces } from '@felhom/protocol';
import type { CanonicalValue, HostId, TrustDocument } from '@felhom/protocol';
import { day } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const never = new AbortController().signal;

interface Offer {
  /** Fields of the manifest. */
  readonly manifest?: Readonly<Record<string, CanonicalValue>>;
  readonly signer?: 'rita' | 'alice' | 'mallory';
  readonly namespace?: string;
  readonly runs?: string;
}

/** Rita signs releases, and nothing else. */
function trustOf(target: Target): TrustDocument {
  const read = target.world.root.store.read();
  if (read.is !== 'held') throw new Error('there is no trust document');
  const rita = target.cast.key('rita', 'only');
  return {
    ...read.document,
    signers: [
      ...read.document.signers,
      { principal: 'rita', key: rita.keyLine, signs: [signatureNamespaces.release], touch: false },
    ],
  };
}

/** Why the host does not take it; `undefined`: it would run it. */
async function offer(target: Target, { manifest, signer = 'rita', namespace, runs = '1.4.0' }: Offer) {
  const now = target.world.clock.now();
  const document = trustOf(target);
  const payload = payloadOf({
    v: 1,
    product: 'agent',
    role: 'agent-linux-x64',
    version: '1.5.0',
    digests: ['d'.repeat(64)],
    issuedAt: now - day,
    expiresAt: now + day,
    rollout: { salt: '0123456789abcdef', starts: [{ percent: 100, at: now - 1 }] },
    ...manifest,
  });
  const who = signer === 'rita' ? target.cast.key('rita', 'only') : target.cast[signer];
  const signature = who.sign(namespace ?? signatureNamespaces.release, payload);
  const asked = { payload, signatures: [signature], document, namespace: signatureNamespaces.release, at: now };
  const verified = await target.world.clock.runUntil(verifyEnvelope(target, asked, never));
  if (verified.is !== 'verified') return verified.why.text;
  const read = parsePayload(releaseManifestKind, payload);
  if (read.is !== 'ok') return read.text;
  const verdict = decideRelease(read.value, verified.people, {
    host: 'lab' as HostId,
    product: 'agent',
    role: 'agent-linux-x64',
    version: runs,
    now,
    document,
  });
  return verdict.is === 'refused' ? verdict.why.text : undefined;
}

function row(name: string, made: (target: Target) => Offer): Trick {
  let why: string | undefined = 'it was not played';
  return {
    name: `a release ${name}`,
    gain: 'code runs next to data that nobody meant for it',
    play: async (target) => {
      // The honest one is taken, or the others prove nothing.
      const honest = await offer(target, {});
      if (honest !== undefined) throw new Error(`the honest release is refused: ${honest}`);
      why = await offer(target, made(target));
    },
    judge: () => (why === undefined ? 'it would be installed' : undefined),
    leaves: { nothing: 'no release reaches a host yet; whoever takes one in will have to tell' },
  };
}

export const releaseTricks: readonly Trick[] = [
  row('that has expired', ({ world }) => ({ manifest: { expiresAt: world.clock.now() - 1 } })),
  row('that is older than what runs', () => ({ runs: '1.6.0' })),
  row('for another role', () => ({ manifest: { role: 'agent-linux-arm64' } })),
  row('of another product', () => ({ manifest: { product: 'controller' } })),
  row('that cannot be reached from what runs', () => ({ manifest: { minFrom: '1.4.5' } })),
  row('whose turn on this host has not come', ({ world }) => ({
    manifest: { rollout: { salt: '0123456789abcdef', starts: [{ percent: 100, at: world.clock.now() + day }] } },
  })),
  row('signed by somebody who signs jobs', () => ({ signer: 'alice' })),
  row('signed by nobody whom the host trusts', () => ({ signer: 'mallory' })),
  row('signed in the name of jobs', () => ({ namespace: signatureNamespaces.job })),
  row('with a version that sorts as text', () => ({ manifest: { version: '1.10.0' }, runs: '1.11.0' })),
];
