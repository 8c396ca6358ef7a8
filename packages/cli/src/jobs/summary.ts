/** What is shown before a signature, to the first person and to every later one. */
import { digestOfPayload, longestLifeMs, payloadOf, peopleNeeded } from '@felhom/protocol';
import type { CanonicalValue, Job, TrustDocument } from '@felhom/protocol';
import { formatDuration, indent, printableLine } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import type { VerifiedHost } from '../verified-host.ts';
import { jobFiles, meaningOf } from './catalog.ts';
import type { Meaning } from './job-file.ts';
import { peopleWords } from './trust-diff.ts';

/** How many distinct people have to sign, by the host's own trust document; the host has the last word. */
export function peopleFor(meaning: Meaning, trust: TrustDocument | undefined): number {
  if (meaning.people !== undefined) return meaning.people;
  return trust === undefined ? Math.max(1, meaning.atLeast) : peopleNeeded(trust, meaning.classes, meaning.atLeast);
}

/** How long a job of this meaning counts, in milliseconds. */
export function lifeOf(kind: Job['kind'], meaning: Meaning, people: number): number {
  const destroys = kind === 'approve' && meaning.classes.includes('destroy');
  return longestLifeMs({ kind }, destroys ? 'destroy' : undefined, people);
}

export function payloadOfJob(job: Job): Buffer {
  return payloadOf(JSON.parse(JSON.stringify(job)) as CanonicalValue);
}

export function renderMeaning(meaning: Meaning, host: VerifiedHost, style: Style): string {
  const people = peopleFor(meaning, host.trust);
  const list = (title: string, items: readonly string[], tone: 'bad' | 'warn' | 'plain') =>
    items.length === 0
      ? ''
      : `${style.paint(tone, title)}\n${items.map((item) => indent(`${printableLine(item)}\n`)).join('')}`;
  return [
    `On ${printableLine(host.hostId)}: ${style.paint('strong', printableLine(meaning.does))}\n`,
    meaning.loses.length === 0 ? 'Nothing is lost.\n' : list('What would be lost:', meaning.loses, 'bad'),
    list('What is allowed afterwards:', meaning.widens, 'warn'),
    list('To know:', meaning.notes, 'plain'),
    `${peopleWords(people)} must sign${host.trust === undefined ? ' (the host trusts nobody yet, so no signature counts)' : ''}.\n`,
  ].join('');
}

export function renderJob(job: Job, host: VerifiedHost, style: Style): string {
  const life = formatDuration(job.expiresAt - host.statement.at);
  return [
    renderMeaning(meaningOf(job, host), host, style),
    'later' in jobFiles[job.kind]
      ? style.paint('warn', 'Hosts of this release refuse jobs of this kind; nothing will happen.\n')
      : '',
    `Job ${job.jobId}, good for ${life}; digest ${digestOfPayload(payloadOfJob(job))}\n`,
  ].join('');
}
