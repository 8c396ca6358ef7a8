/** The host as a guest sees it: a few routes of the local API, in memory. */
import type { DesiredController, LocalAnswer, Operation } from '@felhom/protocol';
import type { LocalInput } from '../client/client.ts';
import type { Clock, Transport, TransportAnswer, TransportRequest } from '../ports.ts';

type Due = LocalAnswer<'backupDue'>['due'][number];
/** `silent`: never, not even when the asker gives up. */
type Answer = { readonly status: number; readonly body: unknown } | 'lost' | 'silent';

export interface FakeHost extends Transport {
  readonly asked: TransportRequest[];
  due: Due[];
  storage: LocalAnswer<'storage'>;
  desired: DesiredController;
  quiescedUntil: number | undefined;
  /** How long a backup takes until it has captured; infinite: never. */
  captureMs: number;
  readonly bulk: LocalInput<'bulk'>[];
  readonly manifests: LocalInput<'manifest'>[];
  readonly statuses: LocalInput<'controllerStatus'>[];
  readonly operations: Map<string, Operation>;
  /** Answers before anything else does. */
  override: (request: TransportRequest) => Answer | undefined;
}

export const idOf = (letter: string): string => letter.repeat(26);
export const problem = (status: number, detail: string, code = 'local.test'): Answer => ({
  status,
  body: { type: 'about:blank', title: 'no', status, detail, code },
});

export const roomyStorage: LocalAnswer<'storage'> = {
  classes: [{ class: 'fast', freeBytes: 1e9 }],
  volumes: [
    {
      name: 'data',
      path: '/srv/data',
      class: 'fast',
      sizeBytes: 1e9,
      backup: true,
      ownBackup: 'in-guest-backup',
      state: 'attached',
    },
    {
      name: 'photos',
      path: '/srv/photos',
      class: 'slow',
      sizeBytes: 1e9,
      backup: false,
      ownBackup: 'controller',
      state: 'attached',
    },
    {
      name: 'copies',
      path: '/srv/copies',
      class: 'slow',
      sizeBytes: 1e9,
      backup: false,
      ownBackup: 'none-acknowledged',
      state: 'attached',
    },
  ],
  checkpoint: { by: 'snapshot', why: '' },
  restore: { possible: true, why: '' },
};

export function fakeHost(clock: Clock): FakeHost {
  let backup: { readonly id: string; readonly at: number } | undefined;
  const ok = (body: unknown, status = 200): Answer => ({ status, body });
  const accepted = (kind: Operation['kind'], extra: Partial<Operation> = {}): Answer => {
    const id = idOf(kind === 'backup' ? 'b' : kind === 'snapshot' ? 's' : 'r');
    const at = clock.now();
    const operation: Operation = { id, kind, state: 'running', text: '', createdAt: at, at, ...extra };
    host.operations.set(id, operation);
    return ok(operation, 202);
  };
  const current = () => {
    if (backup === undefined) return null;
    const captured = clock.now() - backup.at >= host.captureMs;
    if (captured) host.due = host.due.filter(({ scope }) => scope !== 'guest');
    return { operation: backup.id, tier: 'local', state: captured ? 'captured' : 'running', captured, text: '' };
  };
  const answers: Record<string, (request: TransportRequest) => Answer> = {
    'GET /v1/storage': () => ok(host.storage),
    'GET /v1/volumes': () =>
      ok({ volumes: host.storage.volumes.map(({ name, path, state }) => ({ name, path, state })) }),
    'GET /v1/backup/due': () => ok({ due: host.due }),
    'POST /v1/quiesce': ({ body }) => {
      const { seconds } = JSON.parse(body ?? '') as LocalInput<'quiesce'>;
      host.quiescedUntil = clock.now() + Math.min(seconds, 120) * 1000;
      return ok({ lease: idOf('q'), until: host.quiescedUntil });
    },
    'DELETE /v1/quiesce': () => {
      host.quiescedUntil = undefined;
      return ok({});
    },
    'POST /v1/manifest': ({ body }) => {
      host.manifests.push(JSON.parse(body ?? '') as LocalInput<'manifest'>);
      return ok({ digest: '0'.repeat(64) });
    },
    'POST /v1/backup': () => {
      backup ??= { id: idOf('b'), at: clock.now() };
      return accepted('backup');
    },
    'GET /v1/backup/status': () => ok({ current: current(), tiers: [] }),
    'POST /v1/backup/bulk': ({ body }) => {
      host.bulk.push(JSON.parse(body ?? '') as LocalInput<'bulk'>);
      host.due = host.due.filter(({ scope }) => scope !== 'bulk');
      return ok({});
    },
    'GET /v1/controller': () => ok(host.desired),
    'POST /v1/controller/status': ({ body }) => {
      host.statuses.push(JSON.parse(body ?? '') as LocalInput<'controllerStatus'>);
      return ok({});
    },
    'POST /v1/snapshot': () => accepted('snapshot', { state: 'done', checkpoint: 'felhom-1' }),
    'POST /v1/rollback': () => accepted('rollback', { state: 'done' }),
  };
  const host: FakeHost = {
    asked: [],
    due: [],
    storage: roomyStorage,
    desired: { generation: 1, image: null, config: {}, directive: 'run', outward: true },
    quiescedUntil: undefined,
    captureMs: 3_000,
    bulk: [],
    manifests: [],
    statuses: [],
    operations: new Map(),
    override: () => undefined,
    send: async (request, signal): Promise<TransportAnswer> => {
      host.asked.push(request);
      if (signal.aborted) return { is: 'failed', text: 'given up' };
      const path = request.path.split('?')[0] ?? '';
      const named = path.startsWith('/v1/operations/') ? host.operations.get(path.slice(15)) : undefined;
      const answer =
        host.override(request) ??
        (named === undefined ? answers[`${request.method} ${path}`]?.(request) : ok(named)) ??
        problem(404, 'no such route');
      if (answer === 'silent') return new Promise(() => undefined);
      if (answer === 'lost') return { is: 'failed', text: 'the connection broke' };
      return { is: 'answered', status: answer.status, body: JSON.stringify(answer.body) };
    },
  };
  return host;
}
