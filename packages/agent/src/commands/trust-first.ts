/** The first trust document, from what root types on the host. Nothing of it comes from a hub [R14]. Pure. */
import { parsePublicKey, parseVersioned, signatureNamespaces, trustDocumentKind } from '@felhom/protocol';
import type { HostId, Parsed, Signer, Thresholds, TrustDocument } from '@felhom/protocol';

/** A person and the text of the public key file that was named for her. */
export interface NamedKey {
  readonly principal: string;
  readonly file: string;
  readonly text: string;
}

export interface FirstTrust {
  readonly host: HostId;
  readonly now: number;
  readonly days: number;
  readonly jobs: readonly NamedKey[];
  readonly releases: readonly NamedKey[];
  readonly loneOperator: boolean;
  /** Whether signatures of FIDO2 keys count only with a touch. */
  readonly touch: boolean;
  readonly thresholds: Partial<Thresholds>;
}

const day = 24 * 60 * 60_000;

/** A week of days, a month of weeks, a backup a day, a restore test a month, one tier. Changed by a signed job. */
const firstFloors = { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 31, tiers: 1 };

export function firstTrustDocument(first: FirstTrust): Parsed<TrustDocument> {
  const signers: Signer[] = [];
  for (const [named, namespace] of [
    ...first.jobs.map((key) => [key, signatureNamespaces.job] as const),
    ...first.releases.map((key) => [key, signatureNamespaces.release] as const),
  ]) {
    const key = keyOf(named);
    if (key === undefined)
      return {
        is: 'invalid',
        text: `cannot use ${named.file}: it is not one public key of type ssh-ed25519 or sk-ssh-ed25519@openssh.com`,
      };
    const known = signers.find(({ principal, key: line }) => principal === named.principal && line === key.line);
    if (known === undefined) {
      const touch = first.touch && key.type !== 'ssh-ed25519';
      signers.push({ principal: named.principal, key: key.line, signs: [namespace], touch });
    } else if (!known.signs.includes(namespace)) known.signs.push(namespace);
  }
  const people = first.loneOperator ? 1 : 2;
  const document = {
    v: 1,
    host: first.host,
    version: 1,
    issuedAt: first.now,
    expiresAt: first.now + first.days * day,
    signers,
    revoked: [],
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: people, trust: people, ...first.thresholds },
    loneOperator: first.loneOperator,
    floors: firstFloors,
  };
  return parseVersioned(trustDocumentKind, document);
}

function keyOf({ text }: NamedKey) {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 1 ? parsePublicKey(lines[0] ?? '') : undefined;
}
