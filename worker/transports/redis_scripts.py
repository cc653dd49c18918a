"""What happens to a queue on Redis as one step: its keys, and the Lua scripts that the server runs.

| key | kind | holds |
|---|---|---|
| `NAME` | list | what was never received, as kombu writes it: sent on the left, taken on the right |
| `NAME:messages` | hash | by id: what is leased, delayed or was given back, after the moment of its arrival |
| `NAME:leased` | sorted set | ids by the end of their lease |
| `NAME:delayed` | sorted set | ids by the moment at which they can be received (again) |
| `NAME:receives` | hash | by id: how often it was received |
| `NAME:receipts` | hash | by id: the receipt of its latest receive; none after a release |
| `NAME:created` | string | when `setup` created the queue |

A message leaves the list and enters the others in one step of the server, so none is ever on the way: a
worker can be killed at any moment. (kombu's own consumer takes a message off the list first and writes down
that it holds it afterwards.) An id is the SHA-1 of what was sent, so that looking at the list tells it too.
"""

from typing import Final

KEY_SUFFIXES: Final = ("", ":messages", ":leased", ":delayed", ":receives", ":receipts", ":created")


def keys_of(queue_name: str) -> list[str]:
    """All keys of a queue, in the order in which the scripts take them."""
    return [f"{queue_name}{suffix}" for suffix in KEY_SUFFIXES]


# An answer of nil says that the queue does not exist. The first argument is the moment; empty: the server's.
_BEGIN: Final = """
local waiting, messages, leased, delayed, receives, receipts, created = unpack(KEYS)
if redis.call('EXISTS', created) == 0 then return false end
local time = redis.call('TIME')
local now = tonumber(ARGV[1]) or tonumber(time[1]) + tonumber(time[2]) / 1000000

-- A key that others took for something else fails the call here, where no message is on its way yet.
redis.call('LLEN', waiting)
for _, hash in ipairs({messages, receives, receipts}) do redis.call('HLEN', hash) end
for _, set in ipairs({leased, delayed}) do redis.call('ZCARD', set) end

local function forget(id)
  redis.call('ZREM', leased, id)
  redis.call('ZREM', delayed, id)
  redis.call('HDEL', messages, id)
  redis.call('HDEL', receives, id)
  redis.call('HDEL', receipts, id)
end

-- Two equal texts, which nobody but a foreign sender writes, are two messages all the same.
local function keep(payload)
  local digest = redis.sha1hex(payload)
  local id, copies = digest, 1
  while redis.call('HEXISTS', messages, id) == 1 do
    copies = copies + 1
    id = digest .. '.' .. copies
  end
  redis.call('HSET', messages, id, string.format('%.6f ', now) .. payload)
  return id
end

local function is_held(id, receipt)
  local ends_at = redis.call('ZSCORE', leased, id)
  return ends_at and tonumber(ends_at) > now and redis.call('HGET', receipts, id) == receipt
end
"""

# Arguments: now, lease in seconds, receipt, maximum, how many of them may be such as came before.
# What comes back into sight does not go before what waits, nor after it: with neither order could a crowd of
# the ones keep the others waiting for ever. Each write of a new size comes after one that takes something
# away, or a server whose memory is full would refuse it, and could not be emptied.
TAKE: Final = (
    _BEGIN
    + """
local ends_at, receipt, maximum, returned_share = now + ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local taken = {}

local function take(id)
  redis.call('ZREM', delayed, id)
  local message = redis.call('HGET', messages, id)
  if not message then return forget(id) end
  redis.call('ZADD', leased, ends_at, id)
  redis.call('HSET', receipts, id, receipt)
  taken[#taken + 1] = {id, redis.call('HINCRBY', receives, id, 1), message}
end

local function take_returned(limit)
  for _, source in ipairs({leased, delayed}) do
    if #taken < limit then
      local due = redis.call('ZRANGEBYSCORE', source, '-inf', now, 'LIMIT', 0, limit - #taken)
      for _, id in ipairs(due) do take(id) end
    end
  end
end

take_returned(returned_share)
while #taken < maximum do
  local payload = redis.call('RPOP', waiting)
  if not payload then break end
  take(keep(payload))
end
take_returned(maximum)

local next_at = nil
for _, source in ipairs({leased, delayed}) do
  local first = redis.call('ZRANGE', source, 0, 0, 'WITHSCORES')
  if first[2] and (not next_at or tonumber(first[2]) < next_at) then next_at = tonumber(first[2]) end
end
return {taken, next_at and tostring(next_at - now) or false}
"""
)

# Arguments: now, then id and receipt of each. Answers the positions of those that others hold.
ACK: Final = (
    _BEGIN
    + """
local lost = {}
for at = 2, #ARGV, 2 do
  local id = ARGV[at]
  if redis.call('HGET', receipts, id) == ARGV[at + 1] then
    forget(id)
  elseif redis.call('HEXISTS', messages, id) == 1 then
    lost[#lost + 1] = at / 2 - 1
  end
end
return lost
"""
)

# Arguments: now, then id, receipt and seconds of each. Answers the positions of those that are not held.
_FOR_EACH_HELD: Final = (
    _BEGIN
    + """
local lost = {}
for at = 2, #ARGV, 3 do
  local id = ARGV[at]
  if is_held(id, ARGV[at + 1]) then
    redis.call('ZREM', leased, id)
    {step}
  else
    lost[#lost + 1] = (at - 2) / 3
  end
end
return lost
"""
)
EXTEND: Final = _FOR_EACH_HELD.replace("{step}", "redis.call('ZADD', leased, now + ARGV[at + 2], id)")
RELEASE: Final = _FOR_EACH_HELD.replace(
    "{step}", "redis.call('HDEL', receipts, id) redis.call('ZADD', delayed, now + ARGV[at + 2], id)"
)

# Arguments: now, then text and delay in seconds of each.
SEND: Final = (
    _BEGIN
    + """
for at = 2, #ARGV, 2 do
  local delay_seconds = tonumber(ARGV[at + 1])
  if delay_seconds > 0 then
    redis.call('ZADD', delayed, now + delay_seconds, keep(ARGV[at]))
  else
    redis.call('LPUSH', waiting, ARGV[at])
  end
end
return #ARGV
"""
)

# Arguments: now, maximum. Answers what came before (id, how often it was received, text) and what never came.
BROWSE: Final = (
    _BEGIN
    + """
local maximum, returned = tonumber(ARGV[2]), {}
for _, source in ipairs({leased, delayed}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', source, '-inf', now, 'LIMIT', 0, maximum - #returned)) do
    returned[#returned + 1] = {id, redis.call('HGET', receives, id) or 0, redis.call('HGET', messages, id)}
  end
end
local left = maximum - #returned
return {returned, left > 0 and redis.call('LRANGE', waiting, -left, -1) or {}}
"""
)

DEPTH: Final = (
    _BEGIN
    + """
local after = '(' .. string.format('%.17g', now)
local hidden = {redis.call('ZCOUNT', leased, after, '+inf'), redis.call('ZCOUNT', delayed, after, '+inf')}
local returned = redis.call('ZCARD', leased) + redis.call('ZCARD', delayed) - hidden[1] - hidden[2]
return {redis.call('LLEN', waiting) + returned, hidden[1], hidden[2]}
"""
)
