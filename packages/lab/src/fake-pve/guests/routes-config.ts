// GET and PUT of a guest's config, and what is pending.
import type { Call, FakePve } from '../core.ts';
import { die, paramError } from '../core.ts';
import { applyToStopped, hotplug, updateLxcConfig } from './apply-changes.ts';
import { configForApi, pendingForApi, sectionForApi } from './config-file.ts';
import { withLock } from './guest-lock.ts';
import { checkConfigChange } from './permissions.ts';
import { isTrue } from './property-string.ts';
import type { Request } from './stage-changes.ts';
import { optionExists, stageChanges } from './stage-changes.ts';
import { assertUnmodified, checkLock, flag, list, storeOf, text, vmidOf } from './store.ts';

/** Parameters of `PUT config` that are not config keys. */
const NOT_CONFIG: ReadonlySet<string> = new Set(['node', 'vmid', 'digest', 'delete', 'revert']);

export function getConfig(call: Call): unknown {
  const { config, digest } = storeOf(call.pve).load(vmidOf(call));
  const snapshot = text(call, 'snapshot');
  if (snapshot === undefined) return configForApi(config, digest, flag(call, 'current') ? 'current' : 'merged');
  if (flag(call, 'current')) {
    const why = "cannot use 'snapshot' parameter with 'current'";
    paramError({ snapshot: why, current: why });
  }
  const section = config.snapshots.get(snapshot);
  if (section === undefined) die(`snapshot '${snapshot}' does not exist`);
  return { ...sectionForApi(section), digest };
}

export function getPending(call: Call): unknown {
  const { config, digest } = storeOf(call.pve).load(vmidOf(call));
  return pendingForApi(config, digest);
}

/** Config keys among the parameters of a call, as strings. */
export function configParams(call: Call, notConfig: ReadonlySet<string>): Map<string, string> {
  const set = new Map<string, string>();
  for (const key of Object.keys(call.params)) {
    const value = text(call, key);
    if (!notConfig.has(key) && value !== undefined) set.set(key, value);
  }
  return set;
}

export async function putConfig(call: Call): Promise<null> {
  const { pve, who } = call;
  const vmid = vmidOf(call);
  const request: Request = {
    set: configParams(call, NOT_CONFIG),
    remove: list(call, 'delete'),
    revert: list(call, 'revert'),
  };
  if (text(call, 'delete') === undefined && text(call, 'revert') === undefined && request.set.size === 0) {
    die('no options specified');
  }
  const before = storeOf(pve).load(vmid).config;
  checkNames(request);
  checkConfigChange(pve, who, {
    vmid,
    pool: undefined,
    before,
    set: request.set,
    remove: [...request.remove, ...request.revert],
    unprivileged: isTrue(before.active.get('unprivileged')),
  });
  await withLock(pve, vmid, () => change(pve, vmid, request, text(call, 'digest')));
  return null;
}

function checkNames(request: Request): void {
  for (const key of request.revert) {
    if (!optionExists(key)) paramError({ revert: `unknown option '${key}'` });
    if (request.set.has(key)) paramError({ delete: `you can't use '-${key}' and '-revert ${key}' at the same time` });
  }
  for (const key of request.remove) {
    if (!optionExists(key)) paramError({ delete: `unknown option '${key}'` });
    if (request.set.has(key)) paramError({ delete: `you can't use '-${key}' and -delete ${key}' at the same time` });
    if (request.revert.includes(key)) {
      paramError({ delete: `you can't use '-delete ${key}' and '-revert ${key}' at the same time` });
    }
  }
}

async function change(pve: FakePve, vmid: number, request: Request, expected: string | undefined): Promise<void> {
  const store = storeOf(pve);
  const { config, digest } = store.load(vmid);
  checkLock(config);
  assertUnmodified(expected, digest);
  const touched = stageChanges(pve, vmid, config, request);
  const errors = store.isRunning(vmid)
    ? await hotplug(pve, vmid, config, touched)
    : await applyToStopped(pve, vmid, config, touched);
  // Whatever succeeded beside a failure is lost with it: nothing is written.
  if (Object.keys(errors).length > 0) paramError(errors);
  store.write(vmid, config);
  updateLxcConfig(pve, config);
}
