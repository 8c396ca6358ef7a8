/** Groups. PVE: API2/Group.pm. */
import type { Call, Route } from '../core.ts';
import { die, textOf } from '../core.ts';
import type { AccessRoom } from './room.ts';

export function groupRoutes(access: AccessRoom): readonly Route[] {
  const { config } = access;
  const idOf = (call: Call): string => textOf(call.params['groupid']);
  const members = (groupid: string): string[] =>
    [...config.users.values()]
      .filter((user) => user.groups.has(groupid))
      .map((user) => user.userid)
      .sort();
  const need = (call: Call, label: string): string =>
    config.groups.has(idOf(call)) ? idOf(call) : die(`${label}group '${idOf(call)}' does not exist`);
  const commentOf = (groupid: string): Record<string, unknown> => {
    const comment = config.groups.get(groupid);
    return comment === undefined ? {} : { comment };
  };
  const setComment = (call: Call): null => {
    const { comment } = call.params;
    if (comment !== undefined || !config.groups.has(idOf(call)))
      config.groups.set(idOf(call), comment === undefined ? undefined : textOf(comment));
    return null;
  };

  return [
    {
      method: 'GET',
      path: '/access/groups',
      handler: (call) =>
        [...config.groups.keys()]
          .sort()
          .filter((groupid) =>
            access.has(call.who, `/access/groups/${groupid}`, ['User.Modify', 'Sys.Audit', 'Group.Allocate'], {
              any: true,
            }),
          )
          .map((groupid) => ({ groupid, users: members(groupid).join(','), ...commentOf(groupid) })),
    },
    {
      method: 'POST',
      path: '/access/groups',
      handler: (call) => {
        if (config.groups.has(idOf(call))) die(`create group failed: group '${idOf(call)}' already exists`);
        return setComment(call);
      },
    },
    {
      method: 'GET',
      path: '/access/groups/{groupid}',
      handler: (call) => {
        const groupid = need(call, '');
        return { members: members(groupid), ...commentOf(groupid) };
      },
    },
    {
      method: 'PUT',
      path: '/access/groups/{groupid}',
      handler: (call) => {
        need(call, 'update group failed: ');
        return setComment(call);
      },
    },
    {
      method: 'DELETE',
      path: '/access/groups/{groupid}',
      handler: (call) => {
        const groupid = need(call, 'delete group failed: ');
        config.groups.delete(groupid);
        for (const user of config.users.values()) user.groups.delete(groupid);
        config.acl = config.acl.filter((entry) => entry.type !== 'group' || entry.ugid !== groupid);
        return null;
      },
    },
  ];
}
