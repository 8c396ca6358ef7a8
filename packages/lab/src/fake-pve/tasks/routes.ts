/** The task endpoints. PVE: API2/Tasks.pm, API2/Cluster.pm tasks. */
import type { Call, Identity, Route } from '../core.ts';
import { Answer, paramError, textOf } from '../core.ts';
import { splitList } from '../api/formats.ts';
import type { TaskRecord, TaskRoom } from './engine.ts';
import { decodeUpid } from './upid.ts';

/** How many tasks `/cluster/tasks` shows, running ones first (as recorded). */
const recentTasks = 3;

export function taskRoutes(tasks: TaskRoom): readonly Route[] {
  const find = (call: Call): TaskRecord => {
    const upid = textOf(call.params['upid']);
    if (decodeUpid(upid) === undefined) paramError({ upid: 'unable to parse worker upid' });
    return tasks.find(upid) ?? paramError({ upid: 'no such task' });
  };
  const findReadable = (call: Call): TaskRecord => {
    const task = find(call);
    if (!owns(call.who, task)) call.pve.access.check(call.who, `/nodes/${call.pve.name}`, ['Sys.Audit']);
    return task;
  };

  return [
    { method: 'GET', path: '/nodes/{node}/tasks', handler: (call) => listTasks(call, tasks.all()) },
    {
      method: 'GET',
      path: '/nodes/{node}/tasks/{upid}',
      handler: () => [{ name: 'log' }, { name: 'status' }],
    },
    {
      method: 'GET',
      path: '/nodes/{node}/tasks/{upid}/status',
      handler: (call) => {
        const task = findReadable(call);
        return {
          ...describe(task),
          status: task.endtime === undefined ? 'running' : 'stopped',
          ...(task.exitStatus === undefined ? {} : { exitstatus: task.exitStatus }),
        };
      },
    },
    { method: 'GET', path: '/nodes/{node}/tasks/{upid}/log', handler: (call) => readLog(call, findReadable(call)) },
    {
      method: 'DELETE',
      path: '/nodes/{node}/tasks/{upid}',
      handler: async (call) => {
        const task = find(call);
        if (!owns(call.who, task)) call.pve.access.check(call.who, `/nodes/${call.pve.name}`, ['Sys.Modify']);
        if (task.endtime !== undefined) return null;
        tasks.abort(task.upid);
        // SIGTERM, five seconds of grace, SIGKILL (PVE: RESTEnvironment.pm check_worker).
        const ended = await Promise.race([
          tasks.settled(task.upid).then(() => true),
          call.pve.clock.sleep(5000).then(() => false),
        ]);
        if (!ended) tasks.kill(task.upid);
        return null;
      },
    },
    {
      method: 'GET',
      path: '/cluster/tasks',
      handler: (call) => {
        const auditor = call.pve.access.has(call.who, '/', ['Sys.Audit']);
        const visible = tasks.all().filter((task) => auditor || owns(call.who, task));
        const running = visible.filter((task) => task.indexed === undefined);
        const ended = visible.filter((task) => task.indexed !== undefined);
        return [...running, ...ended].slice(0, Math.max(recentTasks, running.length)).map(broadcast);
      },
    },
  ];
}

/** A user owns the tasks of its tokens; a token owns only its own. */
function owns(who: Identity, task: TaskRecord): boolean {
  return who.full === task.who.full || (who.token === undefined && who.user === task.who.user);
}

function describe(task: TaskRecord): Record<string, unknown> {
  const { node, pid, pstart, starttime, type, id } = task.parts;
  const { user, token } = task.who;
  return {
    upid: task.upid,
    node,
    pid,
    pstart,
    starttime,
    type,
    id,
    user,
    ...(token === undefined ? {} : { tokenid: token }),
  };
}

function broadcast(task: TaskRecord): Record<string, unknown> {
  const { upid, node, pid, starttime, type, id, user, tokenid } = describe(task);
  const row = { upid, node, starttime, type, id, user, ...(tokenid === undefined ? {} : { tokenid }) };
  return task.indexed === undefined
    ? { ...row, pid }
    : { ...row, saved: '1', endtime: task.indexed, status: task.exitStatus };
}

/** PVE: UPID.pm, upid_normalize_status_type. */
function statusType(status: string): string {
  if (status === 'OK') return 'ok';
  if (/^WARNINGS: \d+$/.test(status)) return 'warning';
  return status === 'unexpected status' ? 'unknown' : 'error';
}

function listTasks(call: Call, all: readonly TaskRecord[]): Answer {
  const { params } = call;
  const auditor = call.pve.access.has(call.who, `/nodes/${call.pve.name}`, ['Sys.Audit']);
  const source = textOf(params['source'] ?? 'archive');
  const statuses = params['statusfilter'] === undefined ? undefined : splitList(textOf(params['statusfilter']));
  const userFilter = params['userfilter'] === undefined ? undefined : textOf(params['userfilter']).toLowerCase();
  const since = Number(params['since'] ?? 0);
  const until = Number(params['until'] ?? Infinity);

  const wanted = all.filter((task) => {
    const running = task.indexed === undefined;
    const status = task.exitStatus ?? '';
    if (!auditor && !owns(call.who, task)) return false;
    if (source === 'archive' && running) return false;
    if (source === 'active' && !running) return false;
    if (params['typefilter'] !== undefined && task.parts.type !== params['typefilter']) return false;
    if (params['vmid'] !== undefined && task.parts.id !== textOf(params['vmid'])) return false;
    if (userFilter !== undefined && !task.who.full.toLowerCase().includes(userFilter)) return false;
    if (task.parts.starttime < since || task.parts.starttime > until) return false;
    if (params['errors'] === 1 && !running && ['ok', 'warning'].includes(statusType(status))) return false;
    return statuses === undefined || running || statuses.includes(statusType(status));
  });
  const start = Number(params['start'] ?? 0);
  const limit = Number(params['limit'] ?? 50);
  const rows = wanted
    .slice(start, start + limit)
    .map((task) =>
      task.indexed === undefined
        ? { ...describe(task), status: 'RUNNING', saved: '0' }
        : { ...describe(task), status: task.exitStatus, endtime: task.indexed },
    );
  return new Answer(rows, wanted.length === 0 ? {} : { total: wanted.length });
}

function readLog(call: Call, task: TaskRecord): Answer {
  const { params } = call;
  if (params['download'] === 1) {
    for (const name of ['start', 'limit'])
      if (params[name] !== undefined) paramError({ [name]: `Parameter '${name}' not allowed when 'download' is set.` });
    const when = new Date(task.parts.starttime * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
    const text = task.lines.map((line) => `${line}\n`).join('');
    return new Answer(text, {}, text, {
      'content-type': 'text/plain',
      'content-disposition': `attachment; filename="task-${call.pve.name}-${task.parts.type}-${when}.log"`,
    });
  }
  if (task.lines.length === 0) return new Answer([{ n: 1, t: 'no content' }], { total: 1 });
  const start = Number(params['start'] ?? 0);
  const limit = Number(params['limit'] ?? 50);
  const end = limit === 0 ? task.lines.length : start + limit;
  const rows = task.lines.slice(start, end).map((t, at) => ({ n: start + at + 1, t }));
  return new Answer(rows, { total: task.lines.length });
}
