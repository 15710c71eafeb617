package rediscache

import "github.com/redis/go-redis/v9"

// What the two scripts have in common: Redis's clock in ms, and the head of what
// stands under the key, if it is one. A value that is none of ours, or that
// claims to hold for longer than any of ours can, counts as nothing.
const prelude = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local none = string.rep('0', 20)
local version, expires, floor, til, body = none, 0, none, 0, ''

local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' and string.sub(value, 1, 4) == 'IL1:' and #value >= 74 then
	local head = string.sub(value, 5, 74)
	if string.find(head, '^%d+$') then
		local e, u = tonumber(string.sub(head, 21, 35)), tonumber(string.sub(head, 56, 70))
		if math.max(e, u) <= now + 120000 then
			expires, til = e, u
			if u > now then floor = string.sub(head, 36, 55) end
			version, body = string.sub(head, 1, 20), string.sub(value, 75)
		end
	end
end

local function below(a, b)
	local x, y = tonumber(string.sub(a, 1, 10)), tonumber(string.sub(b, 1, 10))
	if x ~= y then return x < y end
	return tonumber(string.sub(a, 11)) < tonumber(string.sub(b, 11))
end

local function store(version, expires, floor, til, body, ms)
	local head = 'IL1:' .. version .. string.format('%015.0f', expires) .. floor .. string.format('%015.0f', til)
	redis.call('SET', KEYS[1], head .. body, 'PX', math.max(1, ms))
end
`

// putScript takes version, expiry in ms, the longest life in ms, and the body.
// An entry of the same version replaces only one that is no longer good.
var putScript = redis.NewScript(prelude + `
local good = body ~= '' and expires > now
if tonumber(ARGV[2]) <= now or below(ARGV[1], floor) or below(ARGV[1], version) or (good and ARGV[1] == version) then
	return now
end
local life = math.min(tonumber(ARGV[2]) - now, tonumber(ARGV[3]))
store(ARGV[1], tonumber(ARGV[2]), floor, til, ARGV[4], math.max(life, til - now))
return now
`)

// floorScript takes a version and for how many ms it holds. A newer entry stays.
var floorScript = redis.NewScript(prelude + `
local low = ARGV[1]
if below(low, floor) then low = floor end
if below(version, ARGV[1]) or expires <= now then
	if below(low, version) then low = version end
	version, expires, body = none, 0, ''
end
local ms = tonumber(ARGV[2])
store(version, expires, low, now + ms, body, math.max(ms, expires - now))
return now
`)
