-- Argo CD's health of a tidegate.dev/InferenceService, by the table in docs/gitops.md.
-- Argo CD runs this without Lua's string library; nothing here needs it.

local function health(status, message)
  return {status = status, message = message or ""}
end

local status = obj.status or {}
if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "it is being deleted")
end
if status.observedGeneration == nil or status.observedGeneration < 0 then
  return health("Progressing", "the controller has not seen it yet")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the controller has not seen the latest spec yet")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(name, truth)
  return conditions[name] ~= nil and conditions[name].status == truth
end

if is("Stalled", "True") then
  return health("Degraded", conditions.Stalled.message)
end
-- What was aborted stays in Git, and stable serves: synced, but not what Git asks for.
if is("RolloutHealthy", "False") and not is("Reconciling", "True") then
  return health("Degraded", conditions.RolloutHealthy.message)
end

local rollout = status.rollout or {}
local waits = rollout.phase == "AwaitingApproval" or rollout.phase == "Paused"
if status.canary ~= nil and waits and is("Ready", "True") then
  return health("Suspended", rollout.message)
end

if is("Reconciling", "True") then
  return health("Progressing", conditions.Reconciling.message)
end
if is("Ready", "True") then
  return health("Healthy", conditions.Ready.message)
end
return health("Progressing", conditions.Ready and conditions.Ready.message)
