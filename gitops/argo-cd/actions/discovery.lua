-- What can be asked of a rollout at the moment, as buttons of Argo CD.
local status = obj.status or {}
local rollout = status.rollout or {}
local request, answered = rollout.request or {}, rollout.lastRequest or {}
local no_canary = status.canary == nil
local unanswered = request.id ~= nil and request.id ~= answered.id
return {
  promote = {disabled = no_canary or unanswered},
  abort = {disabled = no_canary},
}
