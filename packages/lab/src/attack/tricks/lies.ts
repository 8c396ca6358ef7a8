/** The operator signs what she is shown; so a hub shows her something else [R10]. Nothing of it may get a signature. */
import { digestOfBlocked, digestOfReport, signatureNamespaces, statementText } from '@felhom/protocol';
import type { Digest, HostStatement, Report } from '@felhom/protocol';
import { labGuest } from '../../world/desired.ts';
import { withFolder } from '../folder.ts';
import { openDesk } from '../operator-desk.ts';
import type { Claim } from '../operator-desk.ts';
import { hour, minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const gain = 'alice signs away photos and believes that it is something else';

interface Shown {
  readonly claim: Claim;
  /** Which one she is asked to approve. */
  readonly digest?: Digest;
}

type Lie = (honest: Claim, target: Target, digest: Digest, earlier: Claim) => Shown | Promise<Shown>;

function row(name: string, lie: Lie): Trick {
  let outcome = 'it was not played';
  return {
    name: `a lie to the operator: ${name}`,
    gain,
    play: async (target) => {
      target.want(labGuest('web'));
      const digest = await target.blocked('guest-remove');
      outcome = await withFolder(async (folder) => {
        const desk = await openDesk(target, folder);
        const earlier = claimOf(target);
        const honest = claimOf(target);
        const before = await desk.approve(honest, digest);
        if (!before.signed) throw new Error(`alice cannot approve what is true: ${before.err}`);
        const { claim, digest: asked = digest } = await lie(honest, target, digest, earlier);
        const answer = await desk.approve(claim, asked);
        return answer.signed || answer.code === 0 ? 'she signed it' : 'refused';
      });
    },
    judge: () => (outcome === 'refused' ? undefined : outcome),
    leaves: { nothing: 'her own machine refuses it; the host hears nothing' },
  };
}

function claimOf(target: Target): Claim {
  const { statement, report } = target.agent().statement();
  return { statement, report };
}

const reportWith = (name: string, change: (report: Report, target: Target, digest: Digest) => Report): Trick =>
  row(name, (honest, target, digest) => ({ claim: { ...honest, report: change(honest.report, target, digest) } }));

/** The statement of the host with other words in it, signed as told. */
function restated(
  { statement, report }: Claim,
  change: Partial<HostStatement>,
  sign: (text: string) => string = () => statement.signature,
): Claim {
  const text = statementText({ ...(JSON.parse(statement.text) as HostStatement), ...change });
  return { report, statement: { text, signature: sign(text) } };
}

/** The blocked removal with fewer volumes than it frees, and the digest that this would have. */
function harmless(report: Report, digest: Digest): Report {
  return {
    ...report,
    blocked: report.blocked.map((action) => {
      if (action.digest !== digest) return action;
      const document = { ...action.document, lossSet: [] };
      return { ...action, document, digest: digestOfBlocked(document), text: 'remove the empty test guest' };
    }),
  };
}

const mallorys =
  ({ cast }: Target) =>
  (text: string): string =>
    cast.mallory.sign(signatureNamespaces.report, Buffer.from(text, 'utf8'));

export const lieTricks: readonly Trick[] = [
  reportWith('photos is called something else', (report) => ({
    ...report,
    guests: report.guests.map((guest) =>
      guest.name === 'photos' ? { ...guest, name: 'empty-test' as typeof guest.name } : guest,
    ),
  })),
  reportWith('the words of the blocked action', (report) => ({
    ...report,
    blocked: report.blocked.map((action) => ({ ...action, text: 'remove the empty test guest' })),
  })),
  row('a blocked action that loses nothing', (honest, _, digest) => {
    const report = harmless(honest.report, digest);
    return { claim: { ...honest, report }, digest: report.blocked[0]?.digest ?? digest };
  }),
  row('a blocked action that loses nothing, under a statement that names this report', (honest, _, digest) => {
    const report = harmless(honest.report, digest);
    const claim = restated({ ...honest, report }, { reportDigest: digestOfReport(report) });
    return { claim, digest: report.blocked[0]?.digest ?? digest };
  }),
  row('the same, signed with another key', (honest, target, digest) => {
    const report = harmless(honest.report, digest);
    const claim = restated({ ...honest, report }, { reportDigest: digestOfReport(report) }, mallorys(target));
    return { claim, digest: report.blocked[0]?.digest ?? digest };
  }),
  reportWith('the uid of web in the place of that of photos', (report, target) => {
    const [web, photos] = [target.guest('web').uid as string, target.guest('photos').uid as string];
    const text = JSON.stringify(report);
    return JSON.parse(text.replaceAll(photos, '?').replaceAll(web, photos).replaceAll('?', web)) as Report;
  }),
  reportWith('one signature is enough', (report) =>
    report.trust.is === 'held'
      ? {
          ...report,
          trust: {
            ...report.trust,
            document: { ...report.trust.document, thresholds: { ...report.trust.document.thresholds, removal: 1 } },
          },
        }
      : report,
  ),
  row('an old report under an old statement', async (honest, target) => {
    await target.pass(16 * minute);
    return { claim: honest };
  }),
  row('what the host said a moment earlier, after she has seen the later', (...[, , , earlier]) => ({
    claim: earlier,
  })),
  row('the statement of today under the report of yesterday', async (honest, target) => {
    // A day on which nothing happened has one state: an entry of the audit log tells today from yesterday.
    await target.deliver('no envelope');
    await target.pass(2 * minute);
    return { claim: { statement: claimOf(target).statement, report: honest.report } };
  }),
  row('a statement from the future', (honest, target) => ({
    claim: restated(honest, { at: target.world.clock.now() + hour }, mallorys(target)),
  })),
  row('a challenge that the host did not issue', (honest) => ({
    claim: restated(honest, { challenge: `9.${'0'.repeat(32)}` }),
  })),
  row('another epoch', (honest) => ({ claim: restated(honest, { hostEpoch: '0'.repeat(32) }) })),
  row('the statement of another host', (honest, target) => ({
    claim: restated(honest, { host: 'other' as HostStatement['host'] }, (text) =>
      target.world.hostKey.sign(signatureNamespaces.report, Buffer.from(text, 'utf8')),
    ),
  })),
  row('signed by the host, for another purpose', (honest, target) => ({
    claim: restated(honest, {}, (text) =>
      target.world.hostKey.sign(signatureNamespaces.job, Buffer.from(text, 'utf8')),
    ),
  })),
];
