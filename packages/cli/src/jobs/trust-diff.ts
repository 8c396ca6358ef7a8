/** Two trust documents compared, in words: what is given up, what is allowed that was not, and what else changes. */
import { floorNames, parsePublicKey, signatureNamespaces } from '@felhom/protocol';
import type { Signer, TrustDocument } from '@felhom/protocol';
import { dayText } from '../time-text.ts';
import type { Meaning } from './job-file.ts';

export type TrustDiff = Pick<Meaning, 'loses' | 'widens' | 'notes'>;

export function diffTrust(before: TrustDocument, after: TrustDocument): TrustDiff {
  const loses: string[] = [];
  const widens: string[] = [];
  const notes: string[] = [];
  for (const signer of after.signers) {
    const old = before.signers.find(({ key }) => key === signer.key);
    if (old === undefined) widens.push(`new signer: ${signerWords(signer)}`);
    else if (signerWords(old) !== signerWords(signer))
      widens.push(`signer changes: ${signerWords(old)} becomes ${signerWords(signer)}`);
  }
  for (const signer of before.signers)
    if (!after.signers.some(({ key }) => key === signer.key)) loses.push(`signer: ${signerWords(signer)}`);
  for (const key of after.revoked)
    if (!before.revoked.includes(key)) notes.push(`revoked, whatever it signed: ${fingerprintOf(key)}`);
  for (const key of before.revoked)
    if (!after.revoked.includes(key)) widens.push(`no longer revoked: ${fingerprintOf(key)}`);
  for (const [name, people] of Object.entries(after.thresholds)) {
    const old = before.thresholds[name as keyof TrustDocument['thresholds']];
    if (people < old) widens.push(`${name} takes ${peopleWords(people)} instead of ${old}`);
    if (people > old) notes.push(`${name} takes ${peopleWords(people)} instead of ${old}`);
  }
  if (!before.loneOperator && after.loneOperator)
    widens.push('one person alone may do everything: nothing asks for two any more');
  if (before.loneOperator && !after.loneOperator) notes.push('one person alone may not do everything any more');
  for (const floor of floorNames)
    if (before.floors[floor] !== after.floors[floor])
      notes.push(`floor ${floor}: ${before.floors[floor]} becomes ${after.floors[floor]}`);
  if (before.expiresAt !== after.expiresAt)
    notes.push(`it expires ${dayText(after.expiresAt)} instead of ${dayText(before.expiresAt)}`);
  return { loses, widens, notes };
}

/** "anna, SHA256:… (FIDO2 key, touched), signs jobs" */
export function signerWords(signer: Signer): string {
  const purposes = signer.signs.map((one) => (one === signatureNamespaces.job ? 'jobs' : 'releases')).sort();
  const kind = parsePublicKey(signer.key)?.type === 'ssh-ed25519' ? 'key' : 'FIDO2 key';
  const times = [
    ...(signer.validAfter === undefined ? [] : [`from ${dayText(signer.validAfter)}`]),
    ...(signer.validBefore === undefined ? [] : [`until ${dayText(signer.validBefore)}`]),
  ];
  return [
    signer.principal,
    `${fingerprintOf(signer.key)} (${kind}${signer.touch ? ', only when touched' : ''})`,
    `signs ${purposes.join(' and ')}`,
    ...times,
  ].join(', ');
}

export const peopleWords = (count: number): string => (count === 1 ? 'one person' : `${count} people`);

function fingerprintOf(line: string): string {
  return parsePublicKey(line)?.fingerprint ?? line;
}

const dayMs = 24 * 60 * 60_000;

/** "good for 60 more days", "EXPIRED since 2026-01-01". `at` is on the host's clock. */
export function expiryWords(expiresAt: number, at: number): string {
  if (at >= expiresAt) return `EXPIRED since ${dayText(expiresAt)}: only a renewal counts`;
  const days = Math.floor((expiresAt - at) / dayMs);
  return `good for ${days} more ${days === 1 ? 'day' : 'days'} (until ${dayText(expiresAt)})`;
}
