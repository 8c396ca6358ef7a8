import { DatabaseSync } from 'node:sqlite';
import { askAgent } from '@felhom/agent';
import { digestOfText, hostStatementKind, parseVersionedJson } from '@felhom/protocol';
import type { HostStatement, SignedStatement } from '@felhom/protocol';
import { createSimRandom } from '../simulation/sim-random.ts';
import type { Stage } from '../stage/stage.ts';
import { labGuest } from '../world/desired.ts';
import { createOperator } from '../world/operators.ts';
import { signJob } from '../world/sign-job.ts';
import { leftovers, nodeInventory, NotAsTold, ownRange, vmidOf } from './scenario.ts';
import type { Scene, Scenario } from './scenario.ts';

/** Minutes and hours of a host become seconds here: a person is watching. */
const removal = { coolOffMinutes: 0.1, quarantineHours: 0.002 };

/** The removal of a guest as it is meant to go, past a hub that would like it otherwise. */
export const approve = {
  name: 'approve',
  about:
    'a guest is removed: a hub that lies and forges gets nothing, two people who sign get exactly what they signed',
  stage: { signed: true, policy: { removal } },
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, showAs } = scene;
    await apply([labGuest('web'), labGuest('photos')]);
    tell.step('The agent starts. Root has written down on the host that alice, bob and carol may sign.');
    stage.agent.start();
    await converged(['web', 'photos']);
    await pinKeys(scene);
    const before = nodeInventory(stage);
    const photos = vmidOf(stage, 'photos');

    tell.step('Desired state drops photos. Nothing happens to it: it waits for signatures.');
    await apply([labGuest('web')]);
    const { blocked } = await expect('the removal is blocked', ({ blocked: actions }) =>
      actions.some(({ document }) => document.verb === 'guest-remove'),
    );
    const digest = blocked.find(({ document }) => document.verb === 'guest-remove')?.digest ?? '';

    await hubForges(scene);
    await hubLies(scene, digest);
    check('nothing on the node has changed', sameLines(before, nodeInventory(stage)));

    tell.step('Alice approves exactly this digest. Her command shows what would be lost before it signs.');
    await showAs('alice', ['approve', 'lab', digest.slice(0, 16), '--yes'], waiting);
    const { jobs } = await expect('one of two people has signed', (report) =>
      report.jobs.some(({ kind, state, missing }) => kind === 'approve' && state === 'waiting' && missing === 1),
    );
    check('nothing on the node has changed', sameLines(before, nodeInventory(stage)));
    const { jobId = '' } = jobs.find(({ kind, state }) => kind === 'approve' && state === 'waiting') ?? {};

    tell.step('Bob reads for himself what it means, and adds his signature over the same bytes.');
    await showAs('bob', ['job', 'cosign', 'lab', jobId, '--yes', '--no-wait'], waiting);
    for (const state of ['cooling-off', 'quarantine'] as const)
      await expect(`${state}: any signer can still cancel it`, (report) =>
        report.jobs.some((job) => job.jobId === jobId && job.state === state),
      );
    await expect('photos is removed', (report) =>
      report.jobs.some((job) => job.jobId === jobId && job.state === 'done'),
    );
    const gone = before.filter((line) => !nodeInventory(stage).includes(line));
    tell.note(`gone from the node: ${gone.map((line) => line.split(/\s/, 1)[0]).join(', ')}`);
    check('exactly photos and its volumes are gone', sameLines(gone, ofGuest(before, photos)));
    check(
      'everything else on the node is byte for byte as before',
      sameLines(
        nodeInventory(stage),
        before.filter((line) => !gone.includes(line)),
      ),
    );
    check('nothing is left behind', leftovers(stage, ownRange(stage)).length === 0);
    await stage.until('the hub has the end of the audit log', async () => {
      const told = await stage.felhomAs('alice', ['audit', 'show', 'lab', '--json']);
      return told.out.includes(jobId) && told.out.includes('job.done');
    });
    await showAs('alice', ['audit', 'verify', 'lab']);
    await showAs('alice', ['audit', 'show', 'lab', '--last', '12']);
  },
} satisfies Scenario;

/** Exit code of `felhom`: sent, and waits for more people or for the host. */
const waiting = 7;
/** What the hub shows is not the host's own word. */
const unproven = 6;

async function pinKeys({ stage, tell, showAs }: Scene): Promise<void> {
  tell.step('Alice and bob pin the key that stands on the screen of the host.');
  const identity = await stage.agentCommand(['identity', '--json']);
  const { fingerprint } = JSON.parse(identity.out) as { readonly fingerprint: string };
  await showAs('alice', ['hosts', 'trust', 'lab', fingerprint]);
  const bobs = await stage.felhomAs('bob', ['hosts', 'trust', 'lab', fingerprint]);
  if (bobs.code !== 0) throw new NotAsTold(`bob cannot pin the key: ${bobs.err}`);
}

/** Somebody at the hub makes the very job that alice would make, and signs it with what they have. */
async function hubForges({ stage, tell, expect }: Scene): Promise<void> {
  tell.step('Somebody at the hub puts a removal of photos into the mailbox, signed with a key of their own.');
  const statement = await statementOf(stage);
  const guest = (await stage.report())?.guests.find(({ name }) => name === 'photos');
  if (guest?.uid === undefined || guest.incarnation === undefined) throw new NotAsTold('photos is not reported');
  const random = createSimRandom(1);
  const mallory = createOperator('mallory', random);
  const lossSet = [...(guest.volumes ?? [])].toSorted();
  const params = { guest: { uid: guest.uid, incarnation: guest.incarnation }, lossSet, backups: 'keep' as const };
  const forged = signJob(statement, 'decommission', params, [mallory, mallory], { now: Date.now(), random });
  intoDatabase(stage, (database) =>
    database
      .prepare(
        'INSERT INTO envelope (host_id, digest, turn, bytes, put_at, put_by, text) ' +
          "VALUES ('lab', ?, 1, ?, ?, 'mallory', ?)",
      )
      .run(digestOfText(forged.envelope), JSON.stringify(forged.envelope).length, Date.now(), forged.envelope),
  );
  const { findings } = await expect('the host refuses it, and says so', (report) =>
    report.findings.some(({ key }) => key.startsWith('envelope.refused')),
  );
  for (const { key, text } of findings) if (key.startsWith('envelope.refused')) tell.note(text);
}

/** The database of the hub calls photos by another name, whatever the host reports. */
async function hubLies({ stage, tell, showAs }: Scene, digest: string): Promise<void> {
  tell.step('Somebody at the hub makes its database call photos "empty-test", so that alice signs that away.');
  const lie = (from: string, to: string): string =>
    `UPDATE host SET report_text = replace(report_text, '"name":"${from}"', '"name":"${to}"')`;
  intoDatabase(stage, (database) => {
    database.exec(lie('photos', 'empty-test'));
    database.exec(`CREATE TRIGGER lie AFTER UPDATE OF report_text ON host BEGIN ${lie('photos', 'empty-test')}; END`);
  });
  await showAs('alice', ['approve', 'lab', digest.slice(0, 16), '--yes'], unproven);
  intoDatabase(stage, (database) => {
    database.exec('DROP TRIGGER lie');
    database.exec(lie('empty-test', 'photos'));
  });
}

/** What whoever owns the machine of the hub can do. */
function intoDatabase(stage: Stage, work: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(stage.hub.databaseFile, { timeout: 5000 });
  try {
    work(database);
  } finally {
    database.close();
  }
}

async function statementOf(stage: Stage): Promise<HostStatement> {
  const answer = await askAgent(stage.place.adminSocket, 'GET /v1/statement');
  const body = answer.is === 'answered' ? (answer.body as { readonly statement: SignedStatement }) : undefined;
  const said = body === undefined ? undefined : parseVersionedJson(hostStatementKind, body.statement.text);
  if (said?.is !== 'ok') throw new NotAsTold('the host makes no statement');
  return said.value;
}

/** Lines of the inventory that are about one guest: its config, and its volumes. */
const ofGuest = (lines: readonly string[], vmid: number): readonly string[] =>
  lines.filter(
    (line) => line.startsWith(`${vmid} `) || new RegExp(`[:/]vm-${vmid}-`).test(line.split(' ', 1)[0] ?? ''),
  );

const sameLines = (a: readonly string[], b: readonly string[]): boolean =>
  a.toSorted().join('\n') === b.toSorted().join('\n');
